use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::Form;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cloakroom::{Device, ErrorKind, Field, Session, SessionError, SessionHandle, Timestamp};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::page::{Escaped, Place, notice, page};
use crate::site::then;

/// Everybody's password: this is a demonstration. A real site keeps a slow, salted hash for each user.
const PASSWORD: &str = "demo";
const NAME: Field<String> = Field::new("name");
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Who is signed in.
pub(crate) fn name(session: &Session) -> Result<Option<String>, SessionError> {
    NAME.get(session)
}

pub(crate) async fn form(session: Session) -> Result<Response, SessionError> {
    if session.owner().is_some() {
        return Ok(then("/devices"));
    }
    sign_in_page(&session, None)
}

/// The form, the second time with what went wrong.
fn sign_in_page(session: &Session, mistaken: Option<&str>) -> Result<Response, SessionError> {
    const ALERT: &str = "<p class=\"notice alert\" role=\"alert\" id=\"mistake\">That name and password do not go together.</p>";
    // The keyboard starts where there is something to type.
    let (alert, name, password) = match mistaken {
        None => ("", " autofocus", " aria-describedby=\"hint\""),
        Some(_) => (ALERT, "", " autofocus aria-invalid=\"true\" aria-describedby=\"mistake hint\""),
    };
    let body = format!(
        "{alert}<form class=\"card\" method=\"post\" action=\"/sign-in\">\
         <label for=\"name\">Name</label>\
         <input id=\"name\" name=\"name\" value=\"{}\" required maxlength=\"40\" autocomplete=\"username\"{name}>\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" required autocomplete=\"current-password\"{password}>\
         <p class=\"hint\" id=\"hint\">Any name will do. The password is <strong>demo</strong>.</p>\
         <label class=\"check\"><input type=\"checkbox\" name=\"remember\" value=\"yes\"> Keep me signed in for 30 days</label>\
         <p><button>Sign in</button></p></form>",
        Escaped(mistaken.unwrap_or_default())
    );
    let page = page(session, Place::SignIn, "Sign in", &body)?;
    let status = if mistaken.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, page).into_response())
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
    let right = bool::from(credentials.password.as_bytes().ct_eq(PASSWORD.as_bytes()));
    if !acceptable || !right {
        return sign_in_page(&session, Some(name));
    }
    // What belonged to somebody else in this browser goes; what a guest put into the cart stays.
    if session.owner().is_some() {
        session.flush().await?;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    session.set_device(&Device::new(Some(&peer.ip().to_string()), agent));
    if credentials.remember.is_some() {
        session.remember_for(MONTH);
    }
    NAME.set(&session, &name.to_owned())?;
    notice(&session, format!("Hello, {name}! You are signed in."))?;
    // Saves all of that under a new key, in one step: a key that somebody knew before is worth nothing now.
    session.login(&format!("user:{}", name.to_lowercase())).await?;
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
    let sessions = match session.sessions().await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let body = "<p>Your session is kept by your browser alone, so the shop has no list of your devices. \
                        Sign out on each of them.</p>";
            return Ok(page(&session, Place::Devices, "Your devices", body)?.into_response());
        }
        sessions => sessions?,
    };
    let (mut items, mut others) = (String::new(), 0);
    for info in sessions {
        let device = info.device.unwrap_or_default();
        let agent = device.user_agent.unwrap_or_else(|| "An unnamed browser".to_owned());
        let action = if info.is_current {
            "<strong>This device</strong>".to_owned()
        } else {
            others += 1;
            // The handle is neither the key nor the id, and works for this owner only.
            format!(
                "<form method=\"post\" action=\"/devices/revoke\"><input type=\"hidden\" name=\"handle\" value=\"{}\">\
                 <button class=\"quiet\">Sign out<span class=\"unseen\"> {}</span></button></form>",
                Escaped(info.handle.as_str()),
                Escaped(&agent)
            )
        };
        let _ = write!(
            items,
            "<li><div><h2>{}</h2><p class=\"hint\">{} · began {} · last used {}</p></div>{action}</li>",
            Escaped(&agent),
            Escaped(device.address.as_deref().unwrap_or("unknown address")),
            ago(info.created_at),
            ago(info.accessed_at),
        );
    }
    let everywhere = match others {
        0 => "<p class=\"hint\">No other device is signed in.</p>",
        _ => {
            "<form method=\"post\" action=\"/devices/revoke-others\"><p><button>Sign out all other devices</button></p></form>"
        }
    };
    let body = format!(
        "<p>These browsers are signed in to your account.</p><ul class=\"devices\">{items}</ul>{everywhere}"
    );
    Ok(page(&session, Place::Devices, "Your devices", &body)?.into_response())
}

#[derive(Deserialize)]
pub(crate) struct Revocation {
    handle: String,
}

pub(crate) async fn revoke(session: Session, Form(form): Form<Revocation>) -> Result<Response, SessionError> {
    if session.owner().is_none() {
        return Ok(then("/sign-in"));
    }
    let known = session.revoke(&SessionHandle::from_text(form.handle)).await?;
    notice(
        &session,
        if known { "That device is signed out." } else { "That device was signed out already." },
    )?;
    Ok(then("/devices"))
}

pub(crate) async fn revoke_others(session: Session) -> Result<Response, SessionError> {
    if session.owner().is_none() {
        return Ok(then("/sign-in"));
    }
    let text = match session.revoke_others().await? {
        0 => "There was no other device.".to_owned(),
        1 => "One other device is signed out.".to_owned(),
        count => format!("{count} other devices are signed out."),
    };
    notice(&session, text)?;
    Ok(then("/devices"))
}

fn ago(at: Timestamp) -> String {
    let seconds = Timestamp::from(SystemTime::now()).duration_since(at).as_secs();
    match seconds {
        0..120 => "just now".to_owned(),
        120..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
