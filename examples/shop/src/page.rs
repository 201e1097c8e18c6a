use std::fmt::{self, Write};

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2733;--paper:#fbfaf7;--line:#d8d3c7;--accent:#7a3b2e;--soft:#f1ede4}\
@media(prefers-color-scheme:dark){:root{--ink:#e9e5dc;--paper:#1b1d20;--line:#3d4046;--accent:#e0a08f;--soft:#26292d}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,sans-serif}\
header,main,footer{max-width:46rem;margin:0 auto;padding:1rem 1.25rem}\
header{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:baseline;border-bottom:1px solid var(--line)}\
header strong{font-size:1.25rem;margin-right:auto}a{color:var(--accent)}h1{font-size:1.6rem;line-height:1.2}\
ul.cards{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1rem}\
ul.cards li,section.card{background:var(--soft);border:1px solid var(--line);border-radius:.6rem;padding:1rem}\
ul.cards h2{font-size:1.05rem;margin:0 0 .25rem}ul.cards p{margin:.25rem 0 .75rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.5rem .5rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:middle}\
td.wide{word-break:break-word}\
form.inline{display:inline}label{display:block;margin:.75rem 0 .25rem}\
input{font:inherit;padding:.4rem .5rem;border:1px solid var(--line);border-radius:.35rem;background:var(--paper);color:var(--ink)}\
input[type=number]{width:5rem}\
button{font:inherit;padding:.4rem .9rem;border:1px solid var(--accent);border-radius:.35rem;background:var(--accent);color:var(--paper);cursor:pointer}\
button.quiet{background:transparent;color:var(--accent)}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
.note{border-left:4px solid var(--accent);padding:.25rem 0 .25rem .75rem}footer{color:inherit;opacity:.75;font-size:.9rem}";

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

/// A whole page around `body`, which is HTML already.
pub(crate) fn page(title: &str, visitor: Option<&str>, items: u32, body: &str) -> Html<String> {
    let account = match visitor {
        Some(name) => format!(
            "<a href=\"/devices\">Your devices</a><span>Signed in as <b>{}</b></span>\
             <form class=\"inline\" method=\"post\" action=\"/sign-out\"><button class=\"quiet\">Sign out</button></form>",
            Escaped(name)
        ),
        None => "<a href=\"/sign-in\">Sign in</a>".to_owned(),
    };
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} – The Cloakroom Shop</title><style>{STYLE}</style></head><body>\
         <header><strong>The Cloakroom Shop</strong><a href=\"/\">Shop</a><a href=\"/cart\">Cart ({items})</a>{account}</header>\
         <main><h1>{title}</h1>{body}</main>\
         <footer>Nothing here is for sale. Everything here is a session.</footer></body></html>"
    ))
}

/// A page in place of an error.
pub(crate) fn sorry(status: StatusCode, text: &str) -> Response {
    let body = format!("<p class=\"note\">{}</p><p><a href=\"/\">Back to the shop</a></p>", Escaped(text));
    let title = status.canonical_reason().unwrap_or("Sorry");
    (status, page(title, None, 0, &body)).into_response()
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
