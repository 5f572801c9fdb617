//! The heuristics and limits of mining, as functions of DataFusion.
//!
//! The heuristics travel as the text of their file, an argument: whoever runs a plan needs no file of ours, and reads the very
//! same words.

use crate::columns::{AFTER, BEFORE, NEW_PATHS, OLD_PATHS, PATCHES};
use corpus::mine::{
    Heuristics,
    row::{self, Cell, Row},
};
use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray as _, BinaryArray, BinaryViewArray, BooleanBuilder, LargeBinaryArray,
            LargeStringArray, StringArray, StringBuilder, StringViewArray, StructArray,
        },
        datatypes::DataType,
    },
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};
use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Every function, for a session or an executor.
#[must_use]
pub fn all() -> [Arc<ScalarUDF>; 2] {
    let make = |what, arguments| {
        let signature = Signature::any(arguments, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Function { what, signature }))
    };
    // (heuristics, message); (heuristics, message, files, patch, path before, path after, text before, text after)
    [make(What::Speaks, 2), make(What::Screen, 8)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// Whether a message holds a phrase, or there is none.
    Speaks,
    /// What a row came to, as JSON.
    Screen,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    what: What,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.what {
            What::Speaks => "rampart_speaks",
            What::Screen => "rampart_screen",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.what {
            What::Speaks => DataType::Boolean,
            What::Screen => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (words, arguments) = args.args.split_first().ok_or_else(|| wrong("heuristics are needed"))?;
        let heuristics = heuristics(words)?;
        let arrays: Vec<ArrayRef> = arguments.iter().map(|a| a.to_array(rows)).collect::<Result<_>>()?;
        let [message, rest @ ..] = arrays.as_slice() else { return Err(wrong("a message is needed")) };
        let message = Texts::of(message)?;
        let array: ArrayRef = match (self.what, rest) {
            (What::Speaks, _) => {
                let mut out = BooleanBuilder::with_capacity(rows);
                (0..rows).for_each(|i| out.append_value(row::speaks(&heuristics, message.at(i).as_deref())));
                Arc::new(out.finish())
            }
            (What::Screen, [files, patch, was, path, before, after]) => {
                let files = Files::of(files)?;
                let one = One {
                    was: Texts::of(was)?,
                    path: Texts::of(path)?,
                    before: Texts::of(before)?,
                    after: Texts::of(after)?,
                };
                let patch = Texts::of(patch)?;
                let mut out = StringBuilder::with_capacity(rows, rows * 64);
                for i in 0..rows {
                    let (message, patch) = (message.at(i), patch.at(i));
                    let mut texts = Vec::new();
                    files.push(i, &mut texts);
                    one.push(i, &mut texts);
                    let cells = texts.iter().map(FileTexts::cell).collect();
                    let row = Row { message: message.as_deref(), patch: patch.as_deref(), files: cells };
                    let outcome = row::screen(&heuristics, &row);
                    out.append_value(serde_json::to_string(&outcome).map_err(|e| wrong(&e.to_string()))?);
                }
                Arc::new(out.finish())
            }
            _ => return Err(wrong("eight arguments are needed")),
        };
        Ok(ColumnarValue::Array(array))
    }
}

fn wrong(why: &str) -> DataFusionError {
    DataFusionError::Execution(why.to_owned())
}

/// The heuristics of an argument. The last ones are kept: every batch of a run has the same.
fn heuristics(argument: &ColumnarValue) -> Result<Arc<Heuristics>> {
    static LAST: Mutex<Option<Arc<Heuristics>>> = Mutex::new(None);
    let text = match argument {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(t)) | ScalarValue::Utf8View(Some(t)) | ScalarValue::LargeUtf8(Some(t)),
        ) => Cow::Borrowed(t.as_str()),
        ColumnarValue::Scalar(_) => return Err(wrong("heuristics are text")),
        ColumnarValue::Array(array) if array.is_empty() => Cow::Borrowed(corpus::mine::heuristics::BUILT_IN),
        ColumnarValue::Array(array) => Texts::of(array)?.at(0).ok_or_else(|| wrong("heuristics are text"))?,
    };
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = last.as_ref().filter(|h| h.text() == text) {
        return Ok(Arc::clone(same));
    }
    let new = Arc::new(Heuristics::of_text(&text).map_err(|why| wrong(&why))?);
    *last = Some(Arc::clone(&new));
    Ok(new)
}

/// A column of texts, however it is stored. What is no UTF-8 in bytes is replaced.
enum Texts<'a> {
    None,
    Utf8(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    BytesView(&'a BinaryViewArray),
}

impl<'a> Texts<'a> {
    fn of(array: &'a dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self::None,
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::Large(array.as_string()),
            DataType::Utf8View => Self::View(array.as_string_view()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::LargeBinary => Self::LargeBytes(array.as_binary()),
            DataType::BinaryView => Self::BytesView(array.as_binary_view()),
            other => return Err(wrong(&format!("{other} is no text"))),
        })
    }

    fn at(&self, i: usize) -> Option<Cow<'a, str>> {
        let text = |a: &dyn Array| a.is_valid(i);
        match self {
            Self::None => None,
            Self::Utf8(a) => text(*a).then(|| Cow::Borrowed(a.value(i))),
            Self::Large(a) => text(*a).then(|| Cow::Borrowed(a.value(i))),
            Self::View(a) => text(*a).then(|| Cow::Borrowed(a.value(i))),
            Self::Bytes(a) => text(*a).then(|| String::from_utf8_lossy(a.value(i))),
            Self::LargeBytes(a) => text(*a).then(|| String::from_utf8_lossy(a.value(i))),
            Self::BytesView(a) => text(*a).then(|| String::from_utf8_lossy(a.value(i))),
        }
    }
}

/// What a row says of one file, held while it is looked at.
#[derive(Default)]
struct FileTexts<'a> {
    was: Option<Cow<'a, str>>,
    path: Option<Cow<'a, str>>,
    before: Option<Cow<'a, str>>,
    after: Option<Cow<'a, str>>,
    patch: Option<Cow<'a, str>>,
}

impl FileTexts<'_> {
    fn cell(&self) -> Cell<'_> {
        Cell {
            was: self.was.as_deref(),
            path: self.path.as_deref(),
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            patch: self.patch.as_deref(),
        }
    }
}

/// The columns of a table whose rows are one file each.
struct One<'a> {
    was: Texts<'a>,
    path: Texts<'a>,
    before: Texts<'a>,
    after: Texts<'a>,
}

impl<'a> One<'a> {
    fn push(&self, i: usize, to: &mut Vec<FileTexts<'a>>) {
        let (was, path) = (self.was.at(i), self.path.at(i));
        let (before, after) = (self.before.at(i), self.after.at(i));
        if was.is_some() || path.is_some() {
            to.push(FileTexts { was, path, before, after, patch: None });
        }
    }
}

/// A column of files: a list of paths, or of structures.
enum Files<'a> {
    None,
    Paths(Lists<'a>, Texts<'a>),
    Structures(Lists<'a>, [Texts<'a>; 5]),
}

/// Where each row's items are.
struct Lists<'a>(&'a dyn Array);

impl Lists<'_> {
    fn at(&self, i: usize) -> Range<usize> {
        if self.0.is_null(i) {
            return 0..0;
        }
        let place = |n: i64| usize::try_from(n).unwrap_or_default();
        if let Some(list) = self.0.as_list_opt::<i32>() {
            let offsets = list.value_offsets();
            return place(offsets[i].into())..place(offsets[i + 1].into());
        }
        self.0.as_list_opt::<i64>().map_or(0..0, |list| {
            let offsets = list.value_offsets();
            place(offsets[i])..place(offsets[i + 1])
        })
    }
}

impl<'a> Files<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        let array: &'a dyn Array = array.as_ref();
        let items: &'a ArrayRef = match array.data_type() {
            DataType::Null => return Ok(Self::None),
            DataType::List(_) => array.as_list::<i32>().values(),
            DataType::LargeList(_) => array.as_list::<i64>().values(),
            // A table without the column has empty text there.
            _ => return Ok(Self::None),
        };
        let Some(structure): Option<&'a StructArray> = items.as_struct_opt() else {
            return Ok(Self::Paths(Lists(array), Texts::of(items)?));
        };
        let field = |names: &[&str]| -> Result<Texts<'a>> {
            let found = names.iter().find_map(|n| structure.column_by_name(n));
            found.map_or(Ok(Texts::None), |column| Texts::of(column).or(Ok(Texts::None)))
        };
        let fields = [field(OLD_PATHS)?, field(NEW_PATHS)?, field(BEFORE)?, field(AFTER)?, field(PATCHES)?];
        Ok(Self::Structures(Lists(array), fields))
    }

    fn push(&self, i: usize, to: &mut Vec<FileTexts<'a>>) {
        match self {
            Self::None => {}
            Self::Paths(lists, paths) => {
                to.extend(lists.at(i).map(|at| FileTexts { path: paths.at(at), ..FileTexts::default() }));
            }
            Self::Structures(lists, [was, path, before, after, patch]) => to.extend(lists.at(i).map(|at| FileTexts {
                was: was.at(at),
                path: path.at(at),
                before: before.at(at),
                after: after.at(at),
                patch: patch.at(at),
            })),
        }
    }
}
