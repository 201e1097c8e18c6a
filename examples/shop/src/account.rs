use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::Form;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use cloakroom::{Device, ErrorKind, Session, SessionError, SessionHandle, Timestamp};
use serde::Deserialize;

use crate::page::{Escaped, sorry};
use crate::site::{show as page, then};

/// Everybody's password: this is a demonstration.
const PASSWORD: &str = "demo";

pub(crate) async fn form(session: Session) -> Result<Html<String>, SessionError> {
    page(
        &session,
        "Sign in",
        "<section class=\"card\"><form method=\"post\" action=\"/sign-in\">\
         <label for=\"name\">Name</label><input id=\"name\" name=\"name\" required maxlength=\"40\" autocomplete=\"username\">\
         <label for=\"password\">Password</label><input id=\"password\" name=\"password\" type=\"password\" required autocomplete=\"current-password\" aria-describedby=\"hint\">\
         <p id=\"hint\">Any name will do; the password is <b>demo</b>.</p>\
         <p><label><input type=\"checkbox\" name=\"remember\" value=\"yes\"> Keep me signed in for 30 days</label></p>\
         <button>Sign in</button></form></section>",
    )
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
    remember: Option<String>,
}

pub(crate) async fn sign_in(
    session: Session,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Result<Response, SessionError> {
    let name = credentials.name.trim();
    let acceptable = (1..=40).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !acceptable || credentials.password != PASSWORD {
        return Ok(sorry(StatusCode::FORBIDDEN, "That name and password do not go together."));
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    // First the owner: what belonged to somebody else in this browser goes. The key changes with it.
    session.set_device(&Device::new(Some(&peer.ip().to_string()), agent));
    if credentials.remember.is_some() {
        session.remember_for(Duration::from_secs(30 * 86_400));
    }
    session.login(&format!("user:{}", name.to_lowercase())).await?;
    session.set("name", name)?;
    Ok(then("/devices"))
}

pub(crate) async fn sign_out(session: Session) -> Result<Response, SessionError> {
    session.flush().await?;
    Ok(then("/"))
}

pub(crate) async fn devices(session: Session) -> Result<Response, SessionError> {
    if session.owner().is_none() {
        return Ok(then("/sign-in"));
    }
    let mut rows = String::new();
    for info in session.sessions().await? {
        let device = info.device.unwrap_or_default();
        let action = if info.is_current {
            "<b>this one</b>".to_owned()
        } else {
            format!(
                "<form class=\"inline\" method=\"post\" action=\"/devices/revoke\">\
                 <input type=\"hidden\" name=\"handle\" value=\"{}\"><button class=\"quiet\">Sign out</button></form>",
                Escaped(info.handle.as_str())
            )
        };
        let _ = write!(
            rows,
            "<tr><td class=\"wide\">{}</td><td>{}</td><td>{}</td><td>{action}</td></tr>",
            Escaped(device.user_agent.as_deref().unwrap_or("an unnamed browser")),
            Escaped(device.address.as_deref().unwrap_or("unknown")),
            ago(info.accessed_at),
        );
    }
    let body = format!(
        "<p>These browsers are signed in to your account.</p><table><thead><tr><th scope=\"col\">Browser</th>\
         <th scope=\"col\">Address</th><th scope=\"col\">Last used</th><th></th></tr></thead><tbody>{rows}</tbody></table>\
         <form method=\"post\" action=\"/devices/revoke-others\"><p><button>Sign out everywhere else</button></p></form>"
    );
    Ok(page(&session, "Your devices", &body)?.into_response())
}

#[derive(Deserialize)]
pub(crate) struct Revocation {
    handle: String,
}

pub(crate) async fn revoke(session: Session, Form(form): Form<Revocation>) -> Result<Response, SessionError> {
    signed_in(session.revoke(&SessionHandle::from_text(form.handle)).await.map(drop))
}

pub(crate) async fn revoke_others(session: Session) -> Result<Response, SessionError> {
    signed_in(session.revoke_others().await.map(drop))
}

/// Who is not signed in has no devices.
fn signed_in(done: Result<(), SessionError>) -> Result<Response, SessionError> {
    match done {
        Ok(()) => Ok(then("/devices")),
        Err(error) if error.kind() == ErrorKind::InvalidKey => Ok(then("/sign-in")),
        Err(error) => Err(error),
    }
}

fn ago(at: Timestamp) -> String {
    let seconds = Timestamp::from(SystemTime::now()).duration_since(at).as_secs();
    match seconds {
        0..120 => "just now".to_owned(),
        120..7200 => format!("{} minutes ago", seconds / 60),
        _ => format!("{} hours ago", seconds / 3600),
    }
}
