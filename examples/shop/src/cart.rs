use std::collections::BTreeMap;
use std::fmt::Write;

use axum::Form;
use axum::http::StatusCode;
use axum::response::{Html, Response};
use cloakroom::{Field, Session, SessionError};
use serde::Deserialize;

use crate::page::sorry;
use crate::site::{show as page, then};

const CART: Field<BTreeMap<String, u32>> = Field::new("cart");
const VISITS: Field<u64> = Field::new("visits");
const MOST: u32 = 99;

/// Code, name, price in cents, and a line about it.
const GOODS: [(&str, &str, u32, &str); 4] = [
    ("hook", "Brass hook", 1_250, "Holds a coat, a hat and an umbrella."),
    ("ticket", "Roll of tickets", 480, "Numbered from 1 to 1000. None is used twice."),
    ("brush", "Clothes brush", 2_100, "Horsehair, for the hour before the opera."),
    ("bell", "Counter bell", 1_790, "Rings once for each visitor."),
];

fn euros(cents: u32) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

/// How many things are in the cart.
pub(crate) fn size(session: &Session) -> Result<u32, SessionError> {
    Ok(CART.get(session)?.map_or(0, |cart| cart.values().sum()))
}

pub(crate) async fn shelf(session: Session) -> Result<Html<String>, SessionError> {
    // Two tabs that load at once are both counted.
    let visits = VISITS.update(&session, |visits| visits.unwrap_or(0) + 1)?;
    let times = if visits == 1 { "for the first time".to_owned() } else { format!("{visits} times") };
    let mut body = format!("<p>You have looked at this page <b>{times}</b>.</p><ul class=\"cards\">");
    for (code, name, price, about) in GOODS {
        let _ = write!(
            body,
            "<li><h2>{name}</h2><p>{about}<br><b>{}</b></p><form method=\"post\" action=\"/cart/add\">\
             <input type=\"hidden\" name=\"item\" value=\"{code}\"><button aria-label=\"Add {name} to the cart\">Add to cart</button></form></li>",
            euros(price)
        );
    }
    body.push_str("</ul>");
    page(&session, "Welcome", &body)
}

pub(crate) async fn show(session: Session) -> Result<Html<String>, SessionError> {
    let cart = CART.get(&session)?.unwrap_or_default();
    let mut total = 0;
    let mut rows = String::new();
    for (code, name, price, _) in GOODS {
        let Some(&quantity) = cart.get(code) else { continue };
        let sum = price * quantity;
        total += sum;
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td><form class=\"inline\" method=\"post\" action=\"/cart/set\">\
             <input type=\"hidden\" name=\"item\" value=\"{code}\">\
             <input type=\"number\" name=\"quantity\" min=\"0\" max=\"{MOST}\" value=\"{quantity}\" aria-label=\"Quantity of {name}\"> \
             <button class=\"quiet\">Update</button></form></td><td>{}</td><td>\
             <form class=\"inline\" method=\"post\" action=\"/cart/set\"><input type=\"hidden\" name=\"item\" value=\"{code}\">\
             <input type=\"hidden\" name=\"quantity\" value=\"0\"><button class=\"quiet\" aria-label=\"Remove {name}\">Remove</button></form></td></tr>",
            euros(sum)
        );
    }
    let body = if rows.is_empty() {
        "<p>It is empty. <a href=\"/\">Have a look around.</a></p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th scope=\"col\">Item</th><th scope=\"col\">Quantity</th><th scope=\"col\">Sum</th><th></th></tr></thead>\
             <tbody>{rows}</tbody></table><p>Total: <b>{}</b></p>",
            euros(total)
        )
    };
    page(&session, "Your cart", &body)
}

#[derive(Deserialize)]
pub(crate) struct Change {
    item: String,
    quantity: Option<u32>,
}

pub(crate) async fn add(session: Session, Form(change): Form<Change>) -> Result<Response, SessionError> {
    put(&session, change, |before| before.saturating_add(1))
}

pub(crate) async fn set(session: Session, Form(change): Form<Change>) -> Result<Response, SessionError> {
    let quantity = change.quantity.unwrap_or(0);
    put(&session, change, move |_| quantity)
}

fn put(
    session: &Session,
    change: Change,
    quantity: impl Fn(u32) -> u32 + Send + Sync + 'static,
) -> Result<Response, SessionError> {
    let item = change.item;
    if !GOODS.iter().any(|(code, ..)| *code == item) {
        return Ok(sorry(StatusCode::BAD_REQUEST, "The shop does not have that."));
    }
    CART.update(session, move |cart| {
        let mut cart = cart.unwrap_or_default();
        match quantity(cart.get(&item).copied().unwrap_or(0)).min(MOST) {
            0 => cart.remove(&item),
            quantity => cart.insert(item.clone(), quantity),
        };
        cart
    })?;
    Ok(then("/cart"))
}
