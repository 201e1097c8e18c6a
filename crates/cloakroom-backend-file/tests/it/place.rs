//! Folders for tests.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::Clock;

/// A folder that does not exist yet. What earlier test programs left is deleted.
pub(crate) fn folder() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let root = ROOT.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("file-backend");
        // Beside the tests, since there may be many.
        std::thread::spawn({
            let all = all.clone();
            move || delete_leftovers(&all)
        });
        let root = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&root).expect("a folder");
        root
    });
    root.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

fn delete_leftovers(all: &Path) {
    for old in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let name = old.file_name();
        let process = Path::new("/proc").join(&name);
        if name != *std::process::id().to_string() && !process.exists() {
            let _ = std::fs::remove_dir_all(old.path());
        }
    }
}

pub(crate) async fn backend(clock: Clock, durability: Durability) -> FileSessionBackend {
    let builder = FileSessionBackend::builder(folder()).with_clock(clock).with_durability(durability);
    builder.open().await.expect("a backend")
}
