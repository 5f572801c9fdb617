//! Columns of a Parquet file.

use super::{Columns, Error, Form, Provenance};
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::sync::Arc;

/// Rows that are written, and later read, together.
const GROUP: usize = 10_000;

const ORIGIN: &str = "REQUIRED group origin {
    REQUIRED BYTE_ARRAY kind (STRING);
    REQUIRED BYTE_ARRAY source (STRING);
    OPTIONAL INT64 variant;
    REQUIRED BYTE_ARRAY licence (STRING);
    REQUIRED group verified (LIST) { REPEATED group list { REQUIRED BYTE_ARRAY element (STRING); } }
    REQUIRED group extra (LIST) { REPEATED group list { REQUIRED group element {
        REQUIRED BYTE_ARRAY key (STRING);
        REQUIRED BYTE_ARRAY value (STRING);
    } } }
}";
const CWE: &str = "REQUIRED group cwe (LIST) { REPEATED group list { REQUIRED BYTE_ARRAY element (STRING); } }";

fn schema(form: Form) -> String {
    let text = |name: &str| format!("REQUIRED BYTE_ARRAY {name} (STRING);");
    let columns = match form {
        Form::Pairs => {
            let head = ["REQUIRED INT32 format;".to_owned(), text("id"), text("language"), CWE.to_owned()];
            let texts = ["instruction", "reasoning", "secure", "insecure"].map(text);
            [head.as_slice(), &texts, &[ORIGIN.to_owned()]].concat()
        }
        Form::Preference => {
            let texts = ["id", "prompt", "chosen", "rejected", "reasoning", "language"].map(text);
            [texts.as_slice(), &[CWE.to_owned(), text("licence")]].concat()
        }
        Form::Texts => vec!["REQUIRED INT32 format;".to_owned(), text("id"), text("text"), ORIGIN.to_owned()],
    };
    format!("message rows {{ {} }}", columns.join("\n"))
}

/// The values of one leaf of the schema.
enum Leaf<'r> {
    Number(i32),
    Optional(Option<i64>),
    Text(&'r str),
    Texts(Vec<&'r str>),
}

/// A row's leaves, in the schema's order.
fn leaves<'r>(row: &'r Columns) -> Vec<Leaf<'r>> {
    let cwe = |list: &'r [String]| Leaf::Texts(list.iter().map(String::as_str).collect());
    let format = || Leaf::Number(i32::try_from(lexicon::FORMAT).unwrap_or(i32::MAX));
    match row {
        Columns::Pair { id, language, cwe: labels, instruction, reasoning, secure, insecure, origin } => {
            let mut all = vec![format(), Leaf::Text(id), Leaf::Text(language), cwe(labels)];
            all.extend([instruction, reasoning, secure, insecure].map(|t| Leaf::Text(t)));
            all.extend(of_origin(origin));
            all
        }
        Columns::Preference { id, prompt, chosen, rejected, reasoning, language, cwe: labels, licence } => {
            let mut all: Vec<Leaf> = [id, prompt, chosen, rejected, reasoning, language].map(|t| Leaf::Text(t)).into();
            all.extend([cwe(labels), Leaf::Text(licence)]);
            all
        }
        Columns::Text { id, text, origin } => {
            let mut all = vec![format(), Leaf::Text(id), Leaf::Text(text)];
            all.extend(of_origin(origin));
            all
        }
    }
}

fn of_origin<'r>(origin: &'r Provenance) -> [Leaf<'r>; 7] {
    [
        Leaf::Text(origin.kind),
        Leaf::Text(origin.source),
        Leaf::Optional(origin.variant),
        Leaf::Text(origin.licence),
        Leaf::Texts(origin.verified.iter().map(String::as_str).collect()),
        Leaf::Texts(origin.extra.iter().map(|e| e.key).collect()),
        Leaf::Texts(origin.extra.iter().map(|e| e.value).collect()),
    ]
}

pub(super) fn write(rows: &[Columns], form: Form) -> Result<Vec<u8>, Error> {
    let said = |e: ParquetError| Error::Table(e.to_string());
    let schema = Arc::new(parse_message_type(&schema(form)).map_err(said)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("rampart {}", env!("CARGO_PKG_VERSION")))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(said)?;
    for rows in rows.chunks(GROUP) {
        let mut columns: Vec<Vec<Leaf>> = Vec::new();
        for row in rows {
            for (i, leaf) in leaves(row).into_iter().enumerate() {
                if columns.len() <= i {
                    columns.push(Vec::with_capacity(rows.len()));
                }
                columns[i].push(leaf);
            }
        }
        let mut group = file.next_row_group().map_err(said)?;
        for column in columns {
            let Some(mut writer) = group.next_column().map_err(said)? else {
                return Err(Error::Table("more columns than its schema has".into()));
            };
            match column.first() {
                Some(Leaf::Number(_)) => {
                    let values: Vec<i32> =
                        column.iter().filter_map(|l| if let Leaf::Number(n) = l { Some(*n) } else { None }).collect();
                    writer.typed::<Int32Type>().write_batch(&values, None, None).map_err(said)?;
                }
                Some(Leaf::Optional(_)) => {
                    let values: Vec<Option<i64>> =
                        column.iter().filter_map(|l| if let Leaf::Optional(n) = l { Some(*n) } else { None }).collect();
                    let defined: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
                    let values: Vec<i64> = values.into_iter().flatten().collect();
                    writer.typed::<Int64Type>().write_batch(&values, Some(&defined), None).map_err(said)?;
                }
                Some(Leaf::Text(_)) => {
                    let values: Vec<ByteArray> = column
                        .iter()
                        .filter_map(|l| if let Leaf::Text(t) = l { Some((*t).into()) } else { None })
                        .collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, None, None).map_err(said)?;
                }
                Some(Leaf::Texts(_)) | None => {
                    let (values, defined, repeated) = lists(&column);
                    let typed = writer.typed::<ByteArrayType>();
                    typed.write_batch(&values, Some(&defined), Some(&repeated)).map_err(said)?;
                }
            }
            writer.close().map_err(said)?;
        }
        group.close().map_err(said)?;
    }
    file.into_inner().map_err(said)
}

/// Lists as Dremel lays them out: an empty one is defined to level 0, elements after a list's first repeat it.
fn lists(column: &[Leaf]) -> (Vec<ByteArray>, Vec<i16>, Vec<i16>) {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for leaf in column {
        let Leaf::Texts(list) = leaf else { continue };
        if list.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (i, &text) in list.iter().enumerate() {
            values.push(text.into());
            defined.push(1);
            repeated.push(i16::from(i > 0));
        }
    }
    (values, defined, repeated)
}
