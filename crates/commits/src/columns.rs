//! What a table calls its columns.
//!
//! Those who publish commits use few names for the same thing; whoever uses others says so (`patch=my_diff`).

use crate::{Error, one_line};
use datafusion::{
    arrow::datatypes::{DataType, Field, Schema},
    parquet::{
        arrow::parquet_to_arrow_schema,
        file::{reader::FileReader, serialized_reader::SerializedFileReader},
    },
};
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The commit's message.
    Message,
    /// Its id.
    Commit,
    /// Where it is from.
    Repository,
    /// The licence of its code.
    Licence,
    /// A patch of all its files.
    Patch,
    /// Its files: paths, or a structure each.
    Files,
    /// Path before, of a row that is one file.
    OldPath,
    /// Path after, of a row that is one file.
    NewPath,
    /// Text before, of a row that is one file.
    Before,
    /// Text after, of a row that is one file.
    After,
}

/// Every role, its name, and the names that columns have for it; the first that a table has is taken.
pub const ROLES: [(Role, &str, &[&str]); 10] = [
    (Role::Message, "message", &["message", "commit_message", "original_message", "msg"]),
    (Role::Commit, "commit", &["commit", "commit_id", "commit_hash", "hash", "sha", "oid"]),
    (Role::Repository, "repository", &["repository", "repo", "repos", "repo_name", "repo_full_name", "project"]),
    (Role::Licence, "licence", &["licence", "license"]),
    (Role::Patch, "patch", &["patch", "diff"]),
    (Role::Files, "files", &["files", "mods", "changes"]),
    (Role::OldPath, "old-path", OLD_PATHS),
    (Role::NewPath, "new-path", NEW_PATHS),
    (Role::Before, "before", BEFORE),
    (Role::After, "after", AFTER),
];

/// Names of a path before; of a file's structure too, as the ones below.
pub(crate) const OLD_PATHS: &[&str] = &["old_path", "old_file", "previous_filename"];
pub(crate) const NEW_PATHS: &[&str] = &["new_path", "new_file", "path", "filename", "file"];
pub(crate) const BEFORE: &[&str] = &["before", "old_contents", "old_content", "content_before", "source_code_before"];
pub(crate) const AFTER: &[&str] = &["after", "new_contents", "new_content", "content_after", "source_code_after"];
pub(crate) const PATCHES: &[&str] = &["patch", "diff"];

/// Bytes at a file's end that tell one table from another: its footer is there.
const FOOTER: u64 = 64 << 10;

/// A table that can be screened.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// Its name, its rows and what tells it from another.
    pub table: corpus::mine::tables::Table,
    columns: [Option<String>; ROLES.len()],
}

impl Table {
    /// Looks at a file: whether it is Parquet, and has a message and something to look at. `named` holds roles and the columns
    /// that are taken for them.
    ///
    /// # Errors
    /// [`Error::Table`], [`Error::Column`].
    pub fn open(path: &Path, named: &[(String, String)]) -> Result<Self, Error> {
        let failed = |why: String| Error::Table { path: path.display().to_string(), why };
        let mut file = File::open(path).map_err(|e| failed(e.to_string()))?;
        let absolute = path.canonicalize().map_err(|e| failed(e.to_string()))?;
        let size = file.metadata().map_err(|e| failed(e.to_string()))?.len();
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(size.saturating_sub(FOOTER))).map_err(|e| failed(e.to_string()))?;
        file.read_to_end(&mut end).map_err(|e| failed(e.to_string()))?;
        let broken = |why: &dyn std::fmt::Display| failed(format!("not Parquet, or broken: {}", one_line(why)));
        // A footer that contradicts itself must end in a message, whatever the library does with it.
        let read = corpus::rows::quietly(|| {
            let reader = SerializedFileReader::new(file)?;
            let meta = reader.metadata().file_metadata();
            let schema = parquet_to_arrow_schema(meta.schema_descr(), meta.key_value_metadata())?;
            Ok::<_, datafusion::parquet::errors::ParquetError>((meta.num_rows(), schema))
        });
        let (rows, schema) = read.ok_or_else(|| broken(&"its parts contradict each other"))?.map_err(|e| broken(&e))?;
        let rows = usize::try_from(rows).map_err(|_| broken(&"it has less than no rows"))?;
        let hash = corpus::split::mix(&[&size.to_string(), &String::from_utf8_lossy(&end)]);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let columns = roles(&schema, named).map_err(|why| match why {
            Error::Column(why) => failed(why),
            other => other,
        })?;
        let print = format!("{hash:016x}");
        Ok(Self { path: absolute, table: corpus::mine::tables::Table { name, print, rows }, columns })
    }

    /// The column of a role.
    pub(crate) fn column(&self, role: Role) -> Option<&str> {
        let at = ROLES.iter().position(|(r, ..)| *r == role)?;
        self.columns[at].as_deref()
    }
}

/// The column of every role.
fn roles(schema: &Schema, named: &[(String, String)]) -> Result<[Option<String>; ROLES.len()], Error> {
    for (role, _) in named {
        if !ROLES.iter().any(|(_, name, _)| name == role) {
            let all: Vec<&str> = ROLES.iter().map(|(_, name, _)| *name).collect();
            return Err(Error::Column(format!("no column can be a {role:?}; there are {}", all.join(", "))));
        }
    }
    let has = || schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
    let mut columns = [const { None }; ROLES.len()];
    for (column, (role, name, known)) in columns.iter_mut().zip(ROLES) {
        let told = named.iter().find(|(role, _)| role == name).map(|(_, column)| column.as_str());
        let found = match told {
            Some(told) => Some(
                schema
                    .field_with_name(told)
                    .map_err(|_| Error::Column(format!("has no column {told:?}; it has {}", has())))?,
            ),
            None => known.iter().find_map(|k| schema.field_with_name(k).ok()),
        };
        let Some(field) = found else { continue };
        match sound(role, field) {
            Ok(()) => *column = Some(field.name().clone()),
            // A column of another kind that happens to have the name is none of ours, unless it is needed.
            Err(_) if told.is_none() && role != Role::Message => {}
            Err(why) => return Err(Error::Column(format!("its column {:?} {why}", field.name()))),
        }
    }
    let there = |wanted: Role| ROLES.iter().zip(&columns).any(|((role, ..), c)| *role == wanted && c.is_some());
    if !there(Role::Message) {
        let known = ROLES[0].2.join(", ");
        return Err(Error::Column(format!(
            "has no column of messages ({known}); it has {}; name one with --column message=NAME",
            has()
        )));
    }
    let texts = there(Role::Before) && there(Role::After) && (there(Role::NewPath) || there(Role::OldPath));
    let structures = there(Role::Files)
        && ROLES.iter().zip(&columns).any(|((role, ..), c)| {
            *role == Role::Files && c.as_ref().and_then(|c| schema.field_with_name(c).ok()).is_some_and(shows_code)
        });
    if !there(Role::Patch) && !texts && !structures {
        return Err(Error::Column(format!(
            "has nothing to look at: neither patch, nor files with texts or patches, nor old_contents and new_contents with \
             their path; it has {}; name columns with --column patch=NAME",
            has()
        )));
    }
    Ok(columns)
}

/// Whether a column's kind can hold what its role says.
fn sound(role: Role, field: &Field) -> Result<(), String> {
    let kind = field.data_type();
    let text = is_text(kind);
    let fits = match role {
        Role::Files => match kind {
            DataType::List(item) | DataType::LargeList(item) => {
                is_text(item.data_type()) || matches!(item.data_type(), DataType::Struct(_))
            }
            _ => false,
        },
        Role::Commit | Role::Repository | Role::Licence => text || kind.is_integer(),
        _ => text,
    };
    let wanted = if role == Role::Files { "a list of paths or structures" } else { "text" };
    if fits { Ok(()) } else { Err(format!("is {kind}, and {wanted} is needed")) }
}

/// Whether a column of files has their texts or patches.
fn shows_code(field: &Field) -> bool {
    let (DataType::List(item) | DataType::LargeList(item)) = field.data_type() else { return false };
    let DataType::Struct(fields) = item.data_type() else { return false };
    let has = |names: &[&str]| names.iter().any(|n| fields.iter().any(|f| f.name() == n && is_text(f.data_type())));
    has(NEW_PATHS) && (has(PATCHES) || has(BEFORE) && has(AFTER))
}

/// Whether a kind is read as text.
pub(crate) const fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}
