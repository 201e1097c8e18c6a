//! The claims of a token: text out of contents and back.

use std::collections::HashMap;
use std::fmt::Write;

use cloakroom_core::{ErrorKind, Owner, Record, Result, Scope, SessionId, Timestamp, Version};
use cloakroom_seal::Contents;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{config, refuse};
use crate::text;

/// Those of RFC 7519 §4.1, the session's id, and our own two.
pub(crate) const RESERVED: &[&str] =
    &["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "cloakroom", "data"];

/// What tokens say and must say beside the session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) required: Vec<String>,
    /// Claims and the session fields that they copy.
    pub(crate) copied: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Claims<'a> {
    iss: Option<String>,
    aud: Option<Audience>,
    sub: Option<String>,
    sid: String,
    cloakroom: Marks,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What other services have no use for. Times in milliseconds.
#[derive(Deserialize)]
struct Marks {
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "g", default)]
    generation: u64,
    #[serde(rename = "c")]
    created_at: i64,
    #[serde(rename = "a")]
    accessed_at: i64,
    #[serde(rename = "e")]
    expires_at: Option<i64>,
    #[serde(rename = "s")]
    scope: Option<String>,
}

/// Whole seconds, rounded down: an end is never later for others than it is here.
fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

fn quoted(text: &str) -> Result<String> {
    serde_json::to_string(text).map_err(|_| refuse(ErrorKind::Unexpected, "seal", "a text cannot be written"))
}

/// A payload that can stand in the claims as it is: the text of a JSON object. White space behind it is white space
/// there, too.
fn as_object(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok().filter(|text| text.starts_with('{'))?;
    serde_json::from_str::<&RawValue>(text).is_ok().then_some(text)
}

/// An object of the claims with the white space behind it, if it is their last member.
fn as_payload<'a>(claims: &'a str, object: &'a str) -> &'a str {
    let space = [' ', '\n', '\r', '\t'];
    let Some(members) = claims.trim_end_matches(space).strip_suffix('}') else { return object };
    let before = members.trim_end_matches(space).strip_suffix(object);
    before.and_then(|before| members.get(before.len()..)).unwrap_or(object)
}

impl Rules {
    pub(crate) fn compose(&self, scope: Option<&Scope>, contents: &Contents) -> Result<String> {
        let claims = self.write(scope, contents)?;
        if self.required.is_empty() {
            return Ok(claims);
        }
        match self.first_missing(&claims) {
            None => Ok(claims),
            Some(missing) => {
                let message = format!("the claim {missing} is required, and this session has nothing for it");
                Err(config("seal", message))
            }
        }
    }

    fn write(&self, scope: Option<&Scope>, contents: &Contents) -> Result<String> {
        let Contents { id, generation, record } = contents;
        let mut out = String::with_capacity(256 + record.payload.len() * 4 / 3);
        out.push('{');
        if let Some(issuer) = &self.issuer {
            push(&mut out, format_args!("\"iss\":{},", quoted(issuer)?));
        }
        match self.audiences.as_slice() {
            [] => {}
            [one] => push(&mut out, format_args!("\"aud\":{},", quoted(one)?)),
            many => {
                let many = many.iter().map(|one| quoted(one)).collect::<Result<Vec<_>>>()?;
                push(&mut out, format_args!("\"aud\":[{}],", many.join(",")));
            }
        }
        if let Some(owner) = &record.owner {
            push(&mut out, format_args!("\"sub\":{},", quoted(owner.as_str())?));
        }
        push(&mut out, format_args!("\"iat\":{},", seconds(record.accessed_at)));
        if let Some(end) = record.expires_at {
            push(&mut out, format_args!("\"exp\":{},", seconds(end)));
        }
        push(&mut out, format_args!("\"sid\":\"{}\",\"cloakroom\":{{", &*id.as_text()));
        push(&mut out, format_args!("\"v\":{}", record.version.as_u64()));
        if *generation != 0 {
            push(&mut out, format_args!(",\"g\":{generation}"));
        }
        push(&mut out, format_args!(",\"c\":{}", record.created_at.as_millis()));
        push(&mut out, format_args!(",\"a\":{}", record.accessed_at.as_millis()));
        if let Some(end) = record.expires_at {
            push(&mut out, format_args!(",\"e\":{}", end.as_millis()));
        }
        if let Some(scope) = scope {
            push(&mut out, format_args!(",\"s\":{}", quoted(scope.as_str())?));
        }
        out.push('}');
        let object = as_object(&record.payload);
        self.copy(&mut out, object)?;
        match object {
            Some(object) => push(&mut out, format_args!(",\"data\":{object}}}")),
            None => {
                out.push_str(",\"data\":\"");
                text::encode(&record.payload, &mut out);
                out.push_str("\"}");
            }
        }
        Ok(out)
    }

    fn copy(&self, out: &mut String, object: Option<&str>) -> Result<()> {
        if self.copied.is_empty() {
            return Ok(());
        }
        let unreadable = || config("seal", "claims are copied from sessions in JSON, and this is none");
        let object = object.ok_or_else(unreadable)?;
        let fields: HashMap<String, &RawValue> = serde_json::from_str(object).map_err(|_| unreadable())?;
        for (claim, field) in &self.copied {
            if let Some(value) = fields.get(field) {
                push(out, format_args!(",{}:{}", quoted(claim)?, value.get()));
            }
        }
        Ok(())
    }

    fn first_missing(&self, claims: &str) -> Option<&str> {
        let present: HashMap<String, &RawValue> = serde_json::from_str(claims).unwrap_or_default();
        let given = |claim: &String| present.get(claim).is_some_and(|value| value.get() != "null");
        self.required.iter().find(|claim| !given(claim)).map(String::as_str)
    }

    /// What claims say that were signed by one of the keys; `None` where they are not of this backend, issuer,
    /// audience and scope.
    pub(crate) fn parse(&self, scope: Option<&Scope>, claims: &[u8]) -> Option<Contents> {
        let claims = std::str::from_utf8(claims).ok()?;
        let Claims { iss, aud, sub, sid, cloakroom, data } = serde_json::from_str(claims).ok()?;
        let for_us = match aud {
            None => self.audiences.is_empty(),
            Some(Audience::One(one)) => self.audiences.contains(&one),
            Some(Audience::Many(many)) => many.iter().any(|one| self.audiences.contains(one)),
        };
        if !for_us || iss != self.issuer || cloakroom.scope.as_deref() != scope.map(Scope::as_str) {
            return None;
        }
        if !self.required.is_empty() && self.first_missing(claims).is_some() {
            return None;
        }
        let payload = match data.get().as_bytes().first()? {
            b'{' => as_payload(claims, data.get()).as_bytes().to_vec(),
            _ => text::decode(&serde_json::from_str::<String>(data.get()).ok()?)?,
        };
        let owner = match sub {
            None => None,
            Some(owner) => Some(Owner::parse(&owner).ok()?),
        };
        let id: SessionId = sid.parse().ok()?;
        let record = Record::new(payload, Timestamp::from_millis(cloakroom.created_at))
            .with_version(Version::from_u64(cloakroom.version))
            .with_owner(owner)
            .with_accessed_at(Timestamp::from_millis(cloakroom.accessed_at))
            .with_expires_at(cloakroom.expires_at.map(Timestamp::from_millis));
        Some(Contents { id, generation: cloakroom.generation, record })
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}
