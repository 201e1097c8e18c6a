//! What stands in a session's file: as it is, and with the checksums that belong to it.
#![cfg_attr(fuzzing, no_main)]

use cloakroom_backend_file::fuzzing::parse_header;

cloakroom_fuzz::target!(file_header);

const FIXED: usize = 208;
const SUMMED: usize = 140;
const SLOTS: [usize; 2] = [144, 176];

fn file_header(data: &[u8]) {
    round_trip(data);
    if let Some(summed) = summed(data) {
        round_trip(&summed);
    }
}

fn round_trip(data: &[u8]) {
    if let Some(encoded) = parse_header(data) {
        assert_eq!(parse_header(&encoded).as_ref(), Some(&encoded), "what is written is not what is read");
    }
}

/// With checksums that fit: the fuzzer would not come upon them.
fn summed(data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    let length = FIXED + usize::from(*data.get(11)?) + usize::from(*data.get(12)?);
    let mut sum = crc32fast::Hasher::new();
    let names = data.get(FIXED..length)?;
    sum.update(&data[..SUMMED]);
    sum.update(names);
    let sum = sum.finalize();
    data[SUMMED..SUMMED + 4].copy_from_slice(&sum.to_le_bytes());
    for slot in SLOTS {
        let mut of_slot = crc32fast::Hasher::new_with_initial(sum);
        of_slot.update(&data[slot..slot + 24]);
        data[slot + 24..slot + 28].copy_from_slice(&of_slot.finalize().to_le_bytes());
    }
    Some(data)
}
