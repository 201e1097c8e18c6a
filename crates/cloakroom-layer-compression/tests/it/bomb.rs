//! Few bytes that say they are many (CV-40). Memory is watched in a process of its own.

use std::io::Write as _;
use std::process::Command;

use cloakroom_core::{ErrorKind, InMemorySessionBackend};
use cloakroom_layer_compression::ZstdCompressor;

use crate::place::{create, over, read};

const CHILD: &str = "CLOAKROOM_COMPRESSION_BOMB";
static MEGABYTE: [u8; 1 << 20] = [0; 1 << 20];
/// What a bomb expands to.
const MEGABYTES: usize = 256;
/// What opening all of them may take, the program itself included.
const MOST_KILOBYTES: u64 = 48 << 10;

fn fill(mut writer: impl std::io::Write) {
    for _ in 0..MEGABYTES {
        writer.write_all(&MEGABYTE).unwrap();
    }
}

/// With the content size declared, not declared, and declared falsely.
fn zstd_bombs() -> Vec<Vec<u8>> {
    let mut silent = vec![0x11];
    let mut encoder = zstd::Encoder::new(&mut silent, 1).unwrap();
    fill(&mut encoder);
    encoder.finish().unwrap();

    let mut honest = vec![0x11];
    let mut encoder = zstd::Encoder::new(&mut honest, 1).unwrap();
    encoder.set_pledged_src_size(Some((MEGABYTES << 20) as u64)).unwrap();
    fill(&mut encoder);
    encoder.finish().unwrap();

    // Single segment, eight bytes of size, one raw block of one byte.
    let frame = |size: u64| {
        let header = [0x11, 0x28, 0xB5, 0x2F, 0xFD, 0b1110_0000];
        [&header[..], &size.to_le_bytes(), &[0b0000_1001, 0, 0, b'x']].concat()
    };
    vec![silent, honest, frame(u64::MAX - 2), frame(1 << 40), frame(1 << 20)]
}

/// With the length at the end as it is, as something small, and as something large.
fn gzip_bombs() -> Vec<Vec<u8>> {
    let mut honest = vec![0x12];
    let header = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    honest.extend_from_slice(&header);
    let mut encoder = flate2::write::DeflateEncoder::new(&mut honest, flate2::Compression::new(1));
    fill(&mut encoder);
    encoder.finish().unwrap();
    let with_length = |length: u32| [&honest[..], &[0; 4], &length.to_le_bytes()].concat();
    let long = [&[0x12], &header[..], &[3, 0], &[0; 4], &u32::MAX.to_le_bytes()].concat();
    vec![with_length((MEGABYTES << 20) as u32), with_length(10), with_length(1 << 20), long]
}

fn brotli_bombs() -> Vec<Vec<u8>> {
    let bomb = |window| {
        let mut bomb = vec![0x13];
        let mut encoder = brotli::CompressorWriter::new(&mut bomb, 4096, 1, window);
        fill(&mut encoder);
        encoder.flush().unwrap();
        drop(encoder);
        bomb
    };
    // 24 bits are the largest window there is; the last one declares 62, an extension.
    vec![bomb(18), bomb(24), vec![0x13, 0x11, 0x3E, 0, 0, 0, 0, 0]]
}

#[test]
fn bomb_of_every_algorithm_corrupted_in_little_memory() {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bombs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let bombs = [zstd_bombs(), gzip_bombs(), brotli_bombs()].concat();
    let count = bombs.len();
    for (number, bomb) in bombs.into_iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), bomb).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "bomb::child_opens_bombs", "--nocapture", "--test-threads", "1"]);
    let output = child.env(CHILD, &folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{count} bombs")), "{said}");
}

/// Does something only where the test above asks for it.
#[tokio::test]
async fn child_opens_bombs() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new());
    let mut opened = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let key = create(&store, std::fs::read(&path).unwrap()).await;
        let error = read(&backend, &key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{}", path.display());
        println!("{}: {error}", path.display());
        opened += 1;
    }
    println!("{opened} bombs");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    if let Some(peak) = peak {
        println!("{peak} kB");
        assert!(peak.trim().parse::<u64>().unwrap() < MOST_KILOBYTES, "{peak} kB");
    }
}
