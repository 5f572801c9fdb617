//! MITRE's list of weaknesses, read from the XML file that it publishes (`cwec_vN.xml`, schema `cwe-7`).
//!
//! The file is read as a stream: nothing but what is kept is in memory, and every text, list and depth has a bound, for the file
//! comes from outside. Entities other than XML's own five are not known, and none is ever fetched.

use super::Error;
use crate::Lesson;
use lexicon::Cwe;
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Largest file that is read.
const LARGEST: u64 = 512 << 20;
/// Longest text that is kept, in bytes.
const LONGEST: usize = 16 << 10;
/// Deepest nesting.
const DEEPEST: usize = 64;
/// Most entries; MITRE has about a thousand.
const MOST: usize = 100_000;
/// Most parents or languages of one entry.
const MOST_EACH: usize = 200;

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Weakness {
    /// Its name.
    pub name: String,
    /// What it is; empty for what is built in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `Pillar`, `Class`, `Base`, `Variant`, `Compound`; empty for what is built in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub abstraction: String,
    /// Whether MITRE has given it up.
    pub deprecated: bool,
    /// What it is a kind of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Cwe>,
    /// Languages it is known in, in MITRE's words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
}

/// Weaknesses by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Catalogue {
    /// MITRE's version; empty where only the built-in names are there.
    pub version: String,
    /// Entries.
    pub weaknesses: BTreeMap<Cwe, Weakness>,
}

impl Catalogue {
    /// The names that lessons and the heuristics of mining use.
    #[must_use]
    pub fn built_in(lessons: &[Lesson]) -> Self {
        let mut weaknesses = BTreeMap::new();
        let named = |name: &str| Weakness { name: name.to_owned(), ..Weakness::default() };
        for lesson in lessons.iter().filter(|l| !l.weakness.is_empty()) {
            if let Some(&cwe) = lesson.cwe.first() {
                weaknesses.entry(cwe).or_insert_with(|| named(&lesson.weakness));
            }
        }
        if let Ok(heuristics) = crate::mine::Heuristics::built_in() {
            for (cwe, name) in heuristics.weaknesses() {
                weaknesses.entry(*cwe).or_insert_with(|| named(name));
            }
        }
        Self { version: String::new(), weaknesses }
    }

    /// Reads MITRE's file.
    ///
    /// # Errors
    /// [`Error`] with file, byte and what is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let failed = |e: std::io::Error| Error::Read { path: name.clone(), why: e.to_string() };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let form = |at, why: String| Error::Form { path: name.clone(), at, why };
        if length > LARGEST {
            return Err(form(0, format!("{} MiB are more than the {} that are read", length >> 20, LARGEST >> 20)));
        }
        let mut start = BufReader::new(file);
        if start.fill_buf().map_err(failed)?.starts_with(b"PK") {
            return Err(form(0, "a zip archive: unpack it, and name the .xml file in it".to_owned()));
        }
        parse(start.take(LARGEST)).map_err(|(at, why)| form(at, why))
    }
}

/// Where a text goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Into {
    Nothing,
    Description,
}

fn parse(input: impl BufRead) -> Result<Catalogue, (u64, String)> {
    let mut reader = Reader::from_reader(input);
    let mut out = Catalogue::default();
    let mut buffer = Vec::new();
    let mut open: Option<(Cwe, Weakness)> = None;
    let (mut depth, mut into, mut root) = (0_usize, Into::Nothing, false);
    loop {
        buffer.clear();
        let at = reader.buffer_position();
        let event = reader.read_event_into(&mut buffer).map_err(|e| (reader.error_position(), e.to_string()))?;
        let fail = |why: &str| Err((at, why.to_owned()));
        match event {
            Event::Start(ref tag) | Event::Empty(ref tag) => {
                let empty = matches!(event, Event::Empty(_));
                let name = tag.local_name();
                if !root {
                    if name.as_ref() != "Weakness_Catalog" {
                        return fail("not MITRE's list of weaknesses: it begins with <Weakness_Catalog>");
                    }
                    root = true;
                    out.version = attribute(tag, "Version").map_err(|why| (at, why))?.unwrap_or_default();
                }
                depth += usize::from(!empty);
                if depth > DEEPEST {
                    return fail("nested deeper than any published list");
                }
                match name.as_ref() {
                    "Weakness" if open.is_none() => {
                        let (cwe, weakness) = entry(tag).map_err(|why| (at, why))?;
                        if out.weaknesses.len() >= MOST {
                            return fail("more entries than any published list");
                        }
                        if empty {
                            out.weaknesses.insert(cwe, weakness);
                        } else {
                            open = Some((cwe, weakness));
                        }
                    }
                    "Weakness" => return fail("a weakness inside another"),
                    "Description" if depth == 4 && open.is_some() && !empty => into = Into::Description,
                    "Related_Weakness" => {
                        let get = |key| attribute(tag, key).map_err(|why| (at, why));
                        if let Some((_, weakness)) = &mut open
                            && get("Nature")?.as_deref() == Some("ChildOf")
                            && let Some(parent) = get("CWE_ID")?
                        {
                            let parent = parent.parse().map_err(|e| (at, format!("CWE_ID: {e}")))?;
                            if !weakness.parents.contains(&parent) && weakness.parents.len() < MOST_EACH {
                                weakness.parents.push(parent);
                            }
                        }
                    }
                    "Language" => {
                        if let Some((_, weakness)) = &mut open
                            && let Some(language) = attribute(tag, "Name").map_err(|why| (at, why))?
                            && weakness.languages.len() < MOST_EACH
                        {
                            weakness.languages.push(language);
                        }
                    }
                    _ => {}
                }
            }
            Event::End(ref tag) => {
                depth = depth.saturating_sub(1);
                match tag.local_name().as_ref() {
                    "Weakness" => {
                        if let Some((cwe, mut weakness)) = open.take() {
                            let words = weakness.description.split_whitespace().collect::<Vec<_>>().join(" ");
                            weakness.description = words;
                            if out.weaknesses.insert(cwe, weakness).is_some() {
                                return Err((at, format!("{cwe} is there twice")));
                            }
                        }
                    }
                    "Description" => into = Into::Nothing,
                    _ => {}
                }
            }
            Event::Text(ref text) if into == Into::Description => {
                let text = text.xml_content(XmlVersion::Implicit1_0);
                keep(&mut open, &text);
            }
            Event::CData(ref text) if into == Into::Description => {
                let text = text.xml_content(XmlVersion::Implicit1_0);
                keep(&mut open, &text);
            }
            Event::GeneralRef(ref reference) => {
                let known = match reference.resolve_char_ref().map_err(|e| (at, e.to_string()))? {
                    Some(c) => Some(c.to_string()),
                    None => {
                        let name = reference.to_string();
                        quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned)
                    }
                };
                match known {
                    Some(text) if into == Into::Description => keep(&mut open, &text),
                    Some(_) => {}
                    None => return fail("an entity that the file itself would have to define: MITRE's has none"),
                }
            }
            Event::DocType(_) => return fail("a DOCTYPE: MITRE's file has none, and none is followed"),
            Event::Eof if !root || depth > 0 => return fail("the file ends too early: is it all there?"),
            Event::Eof => return Ok(out),
            _ => {}
        }
    }
}

fn keep(open: &mut Option<(Cwe, Weakness)>, text: &str) {
    if let Some((_, weakness)) = open {
        let mut room = LONGEST.saturating_sub(weakness.description.len()).min(text.len());
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        weakness.description.push_str(&text[..room]);
    }
}

fn attribute(tag: &BytesStart, key: &str) -> Result<Option<String>, String> {
    let found = tag.try_get_attribute(key).map_err(|e| e.to_string())?;
    let Some(found) = found else { return Ok(None) };
    let value = found.normalized_value(XmlVersion::Implicit1_0).map_err(|e| format!("{key}: {e}"))?;
    Ok(Some(value.chars().take(1_000).collect()))
}

fn entry(tag: &BytesStart) -> Result<(Cwe, Weakness), String> {
    let get = |key: &str| attribute(tag, key)?.ok_or_else(|| format!("a <Weakness> without {key}"));
    let cwe = get("ID")?.parse().map_err(|e| format!("ID: {e}"))?;
    let weakness = Weakness {
        name: get("Name")?,
        abstraction: attribute(tag, "Abstraction")?.unwrap_or_default(),
        deprecated: attribute(tag, "Status")?.is_some_and(|s| s == "Deprecated"),
        ..Weakness::default()
    };
    Ok((cwe, weakness))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list in the form of the published one, with entries of our own.
    const SMALL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Weakness_Catalog Name="CWE" Version="4.99" Date="2030-01-01" xmlns="http://cwe.mitre.org/cwe-7" xmlns:xhtml="http://www.w3.org/1999/xhtml">
  <Weaknesses>
    <Weakness ID="89" Name="Statements &quot;built&quot; from input" Abstraction="Base" Structure="Simple" Status="Stable">
      <Description>A statement is put together from input &amp; run.
        It means &lt;another&gt; thing then&#46;</Description>
      <Extended_Description><xhtml:p>Long text with a <xhtml:b>Description</xhtml:b>.</xhtml:p></Extended_Description>
      <Related_Weaknesses>
        <Related_Weakness Nature="ChildOf" CWE_ID="943" View_ID="1000" Ordinal="Primary"/>
        <Related_Weakness Nature="ChildOf" CWE_ID="943" View_ID="1003"/>
        <Related_Weakness Nature="CanFollow" CWE_ID="456" View_ID="1000"/>
      </Related_Weaknesses>
      <Applicable_Platforms><Language Class="Not Language-Specific" Prevalence="Undetermined"/><Language Name="PHP"/></Applicable_Platforms>
      <Demonstrative_Examples><Demonstrative_Example><Body_Text>x</Body_Text><Example_Code><Description>not this</Description></Example_Code></Demonstrative_Example></Demonstrative_Examples>
    </Weakness>
    <Weakness ID="1" Name="DEPRECATED: Old" Abstraction="Class" Structure="Simple" Status="Deprecated"/>
  </Weaknesses>
  <Categories><Category ID="16" Name="Configuration" Status="Obsolete"><Summary>x</Summary></Category></Categories>
</Weakness_Catalog>
"#;

    #[test]
    fn the_published_form_is_read() {
        let catalogue = parse(SMALL.as_bytes()).expect("a list");
        assert_eq!(catalogue.version, "4.99");
        assert_eq!(catalogue.weaknesses.keys().copied().collect::<Vec<_>>(), [Cwe(1), Cwe(89)]);
        let expect = Weakness {
            name: "Statements \"built\" from input".into(),
            description: "A statement is put together from input & run. It means <another> thing then.".into(),
            abstraction: "Base".into(),
            deprecated: false,
            parents: vec![Cwe(943)],
            languages: vec!["PHP".into()],
        };
        assert_eq!(catalogue.weaknesses[&Cwe(89)], expect);
        assert!(catalogue.weaknesses[&Cwe(1)].deprecated);
    }

    #[test]
    fn what_is_no_list_is_told() {
        let deep = format!("<Weakness_Catalog>{}", "<a>".repeat(100));
        let bomb = SMALL.replace("<Weakness_Catalog", "<!DOCTYPE a [<!ENTITY b \"bbb\">]><Weakness_Catalog");
        let cases = [
            ("", "ends too early"),
            ("<html></html>", "begins with <Weakness_Catalog>"),
            ("<Weakness_Catalog>", "ends too early"),
            (&SMALL[..SMALL.len() / 2], ""),
            (&SMALL.replace("ID=\"89\"", "ID=\"x\""), "ID: \"x\" is not a CWE identifier"),
            (&SMALL.replace("ID=\"89\" ", ""), "without ID"),
            (&SMALL.replace("ID=\"1\"", "ID=\"89\""), ""),
            (&SMALL.replace("CWE_ID=\"943\"", "CWE_ID=\"\""), "CWE_ID"),
            (&SMALL.replace("&amp;", "&b;"), "an entity"),
            (&SMALL.replace("</Weaknesses>", "</Other>"), ""),
            (&bomb, "a DOCTYPE"),
            (&deep, "nested deeper"),
        ];
        for (text, expect) in cases {
            match parse(text.as_bytes()) {
                Err((_, said)) => assert!(said.contains(expect), "{said:?} should contain {expect:?}"),
                // An empty entry is inserted at once; the second of a number then stands.
                Ok(read) => assert!(expect.is_empty() && read.weaknesses.len() == 1, "{expect}"),
            }
        }
    }

    #[test]
    fn no_beginning_of_a_list_makes_it_panic() {
        for end in 0..SMALL.len() {
            let _ = parse(&SMALL.as_bytes()[..end]);
            let mut broken = SMALL.as_bytes().to_vec();
            broken[end] = 0xff;
            let _ = parse(broken.as_slice());
        }
    }
}
