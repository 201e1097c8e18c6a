//! Unpadded base64url, with the processor's wide instructions where it has them: what a token says is no secret, so
//! the time it takes may depend on it.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::NO_PAD;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Fastest = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Fastest = base64::engine::GeneralPurpose;

static BASE64: LazyLock<Fastest> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Fastest::url_safe(NO_PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Fastest::new(&base64::alphabet::URL_SAFE, NO_PAD);
});

pub(crate) fn encode(bytes: &[u8], to: &mut String) {
    BASE64.encode_string(bytes, to);
}

/// One text for each value: padding and set bits behind the last byte are refused.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// How many characters so many bytes take.
pub(crate) const fn characters_for(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// How many bytes fit into so many characters.
pub(crate) const fn bytes_in(characters: usize) -> usize {
    characters / 4 * 3 + (characters % 4) * 3 / 4
}
