//! Tables of commits that nobody made: everyday work, what speaks of security and is no fix, and fixes, as the seed says.

use commits::datafusion::{
    arrow::{
        array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder},
        datatypes::{DataType, Field, Schema},
    },
    parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties},
};
use std::{fmt::Write as _, fs::File, path::Path, sync::Arc};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Rows of a batch, and of a row group.
const BATCH: usize = 2_048;
const GROUP: usize = 16_384;
/// One row in so many speaks of security.
const SPEAKS: u64 = 10;

const EVERYDAY: [&str; 6] = [
    "Bump version to 1.4.2",
    "Refactor the loader so that it reads in one pass; see the design notes for the reasons\n\nNo change in behaviour.",
    "Update dependencies (#1234)\n\nSigned-off-by: A. Author <author@example.com>",
    "Add a report of slow queries, with a table and a chart, and a test for both of them",
    "Typo",
    "Faster lookup of names; the old one walked the whole list, and people have long lists",
];

fn dice(seed: u64, row: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Message, path and patch of a row.
fn row(seed: u64, at: u64, fix: u64) -> (String, String, String) {
    let n = dice(seed, at);
    let name = format!("work_{:x}", n & 0xff_ffff);
    let path = format!("part{}/{name}.py", n % 23);
    let head = format!("diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n");
    if n.is_multiple_of(fix) {
        let patch = format!(
            "{head}@@ -1,7 +1,7 @@\n-import os\n+import subprocess\n \n \n def {name}(value):\n     count = {}\n-    os.system(\"ls \" + \
             value)\n+    subprocess.run([\"ls\", value], check=True)\n     return count\n",
            n >> 40
        );
        return ("Fix command injection: the name went into a shell".to_owned(), path, patch);
    }
    let mut patch = head;
    for hunk in 0..2 {
        let line = 10 + 40 * hunk;
        let _ = writeln!(patch, "@@ -{line},8 +{line},8 @@ def {name}_{hunk}(values, names):");
        for i in 0..3 {
            let _ = writeln!(patch, "     first_{i} = compute(values, names, {})", n >> (8 + i));
        }
        let _ = writeln!(patch, "-    total = sum(values) + {}\n+    total = sum(values) + {}", n & 0xff, n & 0x7f);
        for i in 0..4 {
            let _ = writeln!(patch, "     last_{i} = gather(total, names[{i}], first_{})", i % 3);
        }
    }
    let message = if n % SPEAKS == 1 {
        "security: verify certificates again, as the advisory says".to_owned()
    } else {
        EVERYDAY[(n >> 32) as usize % EVERYDAY.len()].to_owned()
    };
    (message, path, patch)
}

/// Writes a table of so many rows: commit, repository, licence, message, files and patch. One in `fix` is a fix.
pub(crate) fn write(file: &Path, rows: usize, seed: u64, fix: u64) -> Outcome {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let schema = Arc::new(Schema::new(vec![
        text("hash"),
        text("repo"),
        text("license"),
        text("message"),
        Field::new("files", DataType::List(item), true),
        text("patch"),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(file)?, Arc::clone(&schema), Some(properties))?;
    for begin in (0..rows).step_by(BATCH) {
        let mut texts: [StringBuilder; 5] = Default::default();
        let mut files = ListBuilder::new(StringBuilder::new());
        for at in begin..rows.min(begin + BATCH) {
            let (message, path, patch) = row(seed, at as u64, fix);
            let values = [
                format!("{:016x}{at:08x}", dice(seed, at as u64)),
                format!("a/project-{}", at % 97),
                "mit".to_owned(),
                message,
                patch,
            ];
            texts.iter_mut().zip(&values).for_each(|(to, value)| to.append_value(value));
            files.values().append_value(&path);
            files.append(true);
        }
        let [hash, repo, license, message, patch] = &mut texts;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(hash.finish()),
            Arc::new(repo.finish()),
            Arc::new(license.finish()),
            Arc::new(message.finish()),
            Arc::new(files.finish()),
            Arc::new(patch.finish()),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
    }
    writer.close()?;
    Ok(())
}
