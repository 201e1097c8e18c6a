//! Unpadded base64url, at the speed of the processor's wide instructions: what is sealed is no secret, so the time it
//! takes may depend on it.

use base64::Engine;
use base64::engine::general_purpose::NO_PAD;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Fastest = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Fastest = base64::engine::GeneralPurpose;

#[derive(Clone, Debug)]
pub(crate) struct Base64(Fastest);

impl Base64 {
    pub(crate) fn new() -> Self {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        return Self(Fastest::url_safe(NO_PAD));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Self(Fastest::new(&base64::alphabet::URL_SAFE, NO_PAD));
    }

    pub(crate) fn encode(&self, bytes: &[u8]) -> Box<str> {
        self.0.encode(bytes).into_boxed_str()
    }

    /// One text for each value: padding and set bits behind the last byte are refused.
    pub(crate) fn decode(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = vec![0; bytes_in(text.len())];
        let length = self.0.decode_slice(text, &mut bytes).ok()?;
        (length == bytes.len()).then_some(bytes)
    }
}

/// How many bytes fit into so many characters.
pub(crate) const fn bytes_in(characters: usize) -> usize {
    characters / 4 * 3 + (characters % 4) * 3 / 4
}

/// How many characters so many bytes take.
pub(crate) const fn characters_for(bytes: usize) -> usize {
    bytes / 3 * 4 + (bytes % 3 * 4).div_ceil(3)
}
