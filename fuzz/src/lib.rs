#![doc = include_str!("../README.md")]

use std::path::Path;
use std::{env, fs};

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// Makes a file in `src/bin` the target of its function's name: a program that the fuzzer drives; built without it, a
/// program that runs the files it is given, and a test over `corpus-regressions/<name>`.
#[macro_export]
macro_rules! target {
    ($run:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $run(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($run);
        }

        #[cfg(test)]
        #[test]
        fn regressions_stay_mended() {
            $crate::regressions(stringify!($run), $run);
        }
    };
}

/// Runs the files named on the command line.
pub fn replay(run: impl Fn(&[u8])) {
    for path in env::args_os().skip(1) {
        let data = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        run(&data);
        println!("{}: nothing found in {} bytes", path.display(), data.len());
    }
}

/// Runs every file in the target's folder.
pub fn regressions(name: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus-regressions").join(name);
    let mut ran = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a file"));
        ran += 1;
    }
    assert!(ran > 0, "{} is empty", folder.display());
}
