use super::*;

#[test]
fn placeholder() {
    assert!(scan("x.py", "import os\nos.system('a ' + input())\n").findings.len() == 1);
}
