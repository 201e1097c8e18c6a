//! What a client sends as a sealed cookie, to the seal, its base64 and its frame.
#![cfg_attr(fuzzing, no_main)]

cloakroom_fuzz::target!(cookie_envelope);

fn cookie_envelope(data: &[u8]) {
    cloakroom_backend_cookie::fuzz_open(data);
}
