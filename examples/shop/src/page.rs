use std::fmt::{self, Write};

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use cloakroom::{Field, Session, SessionError};

use crate::{account, cart};

/// What the next page says once, such as what a form did.
const NOTICE: Field<String> = Field::new("notice");

/// Text of a stranger, safe between tags and in quoted attributes.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// Which entry of the navigation is this page's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Shop,
    Cart,
    SignIn,
    Devices,
    Elsewhere,
}

/// What the head of a page tells about its visitor.
struct Visitor {
    name: Option<String>,
    items: u32,
    notice: Option<String>,
}

/// Says something on the next page. Kept in the session, so that a reload does not say it again.
pub(crate) fn notice(session: &Session, text: impl Into<String>) -> Result<(), SessionError> {
    NOTICE.set(session, &text.into())
}

/// A page with the visitor's name and the size of the cart in its head; `body` is HTML already.
pub(crate) fn page(
    session: &Session,
    place: Place,
    title: &str,
    body: &str,
) -> Result<Html<String>, SessionError> {
    let visitor =
        Visitor { name: account::name(session)?, items: cart::size(session)?, notice: NOTICE.pop(session)? };
    Ok(Html(render(&visitor, place, title, body)))
}

/// A page in place of an error. It needs no session: perhaps there is none to be had.
pub(crate) fn sorry(status: StatusCode, text: &str) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::SERVICE_UNAVAILABLE => "Just a moment",
        _ => "That did not work",
    };
    let body = format!(
        "<p class=\"notice alert\" role=\"alert\">{}</p><p><a href=\"/\">Back to the shop</a></p>",
        Escaped(text)
    );
    let visitor = Visitor { name: None, items: 0, notice: None };
    (status, Html(render(&visitor, Place::Elsewhere, title, &body))).into_response()
}

fn render(visitor: &Visitor, place: Place, title: &str, body: &str) -> String {
    let link = |of: Place, to: &str, text: &str| {
        let current = if of == place { " aria-current=\"page\"" } else { "" };
        format!("<li><a href=\"{to}\"{current}>{text}</a></li>")
    };
    let mut links = link(Place::Shop, "/", "Shop");
    let cart = match visitor.items {
        0 => "Cart".to_owned(),
        items => format!("Cart ({items}<span class=\"unseen\"> items</span>)"),
    };
    links.push_str(&link(Place::Cart, "/cart", &cart));
    match &visitor.name {
        None => links.push_str(&link(Place::SignIn, "/sign-in", "Sign in")),
        Some(name) => {
            links.push_str(&link(Place::Devices, "/devices", "Your devices"));
            let _ = write!(
                links,
                "<li>Signed in as <strong>{}</strong></li><li><form method=\"post\" action=\"/sign-out\">\
                 <button class=\"quiet\">Sign out</button></form></li>",
                Escaped(name)
            );
        }
    }
    let notice = visitor.notice.as_deref().map_or_else(String::new, |notice| {
        format!("<p class=\"notice\" role=\"status\">{}</p>", Escaped(notice))
    });
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · The Cloakroom Shop</title><link rel=\"stylesheet\" href=\"/style.css\">\
         <link rel=\"icon\" href=\"data:,\"></head>\n<body><a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
         <header><div><a class=\"name\" href=\"/\">The Cloakroom Shop</a>\
         <nav aria-label=\"Main\"><ul>{links}</ul></nav></div></header>\n\
         <main id=\"main\" tabindex=\"-1\">{notice}<h1>{title}</h1>\n{body}</main>\n\
         <footer>Nothing here is for sale. Everything here is a session.</footer></body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn hostile_text_is_harmless() {
        let shown = Escaped("<script>alert('x')</script>&\"").to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;");
    }
}
