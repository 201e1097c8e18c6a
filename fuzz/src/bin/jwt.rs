//! What a client sends as a token, and what the claims of a signed one can hold.
#![cfg_attr(fuzzing, no_main)]

cloakroom_fuzz::target!(jwt);

fn jwt(data: &[u8]) {
    cloakroom_backend_jwt::fuzz_open(data);
}
