use std::collections::BTreeMap;
use std::fmt::Write;

use axum::Form;
use axum::http::StatusCode;
use axum::response::{Html, Response};
use cloakroom::{Field, Session, SessionError};
use serde::Deserialize;

use crate::page::{Place, notice, page, sorry};
use crate::site::then;

const CART: Field<BTreeMap<String, u32>> = Field::new("cart");
const VISITS: Field<u64> = Field::new("visits");
const MOST: u32 = 99;

struct Good {
    code: &'static str,
    name: &'static str,
    cents: u32,
    about: &'static str,
}

const GOODS: [Good; 6] = [
    Good { code: "hook", name: "Brass hook", cents: 1_250, about: "Holds a coat, a hat and an umbrella." },
    Good {
        code: "ticket",
        name: "Roll of tickets",
        cents: 480,
        about: "A thousand numbers, each used once.",
    },
    Good {
        code: "brush",
        name: "Clothes brush",
        cents: 2_100,
        about: "Horsehair, for the hour before the opera.",
    },
    Good { code: "bell", name: "Counter bell", cents: 1_790, about: "Rings once for each visitor." },
    Good { code: "hanger", name: "Cedar hanger", cents: 690, about: "Smells of forests, keeps moths away." },
    Good {
        code: "umbrella",
        name: "Umbrella",
        cents: 3_400,
        about: "For those who left theirs on our hook.",
    },
];

fn euros(cents: u32) -> String {
    format!("€{}.{:02}", cents / 100, cents % 100)
}

/// How many things are in the cart.
pub(crate) fn size(session: &Session) -> Result<u32, SessionError> {
    Ok(CART.get(session)?.map_or(0, |cart| cart.values().sum()))
}

pub(crate) async fn shelf(session: Session) -> Result<Html<String>, SessionError> {
    // Two tabs that load at once are both counted.
    let visits = VISITS.update(&session, |visits| visits.unwrap_or(0) + 1)?;
    let times = match visits {
        1 => "for the first time".to_owned(),
        visits => format!("{visits} times"),
    };
    let mut body =
        format!("<p>You have looked at this page <strong>{times}</strong>.</p><ul class=\"goods\">");
    for Good { code, name, cents, about } in GOODS {
        let _ = write!(
            body,
            "<li><h2>{name}</h2><p>{about}</p><p class=\"price\">{}</p>\
             <form method=\"post\" action=\"/cart/add\"><input type=\"hidden\" name=\"item\" value=\"{code}\">\
             <button>Add<span class=\"unseen\"> {name}</span> to cart</button></form></li>",
            euros(cents)
        );
    }
    body.push_str("</ul>");
    page(&session, Place::Shop, "Welcome", &body)
}

pub(crate) async fn show(session: Session) -> Result<Html<String>, SessionError> {
    let cart = CART.get(&session)?.unwrap_or_default();
    let (mut rows, mut total) = (String::new(), 0);
    for Good { code, name, cents, .. } in GOODS {
        let Some(&quantity) = cart.get(code) else { continue };
        let sum = cents * quantity.min(MOST);
        total += sum;
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{name}</th><td class=\"amount each\">{}</td><td>\
             <form class=\"row\" method=\"post\" action=\"/cart/set\"><input type=\"hidden\" name=\"item\" value=\"{code}\">\
             <input type=\"number\" name=\"quantity\" min=\"0\" max=\"{MOST}\" value=\"{quantity}\" required aria-label=\"Quantity of {name}\">\
             <button class=\"quiet\">Update<span class=\"unseen\"> the quantity of {name}</span></button></form></td>\
             <td class=\"amount\">{}</td><td><form method=\"post\" action=\"/cart/set\">\
             <input type=\"hidden\" name=\"item\" value=\"{code}\"><input type=\"hidden\" name=\"quantity\" value=\"0\">\
             <button class=\"quiet\">Remove<span class=\"unseen\"> {name}</span></button></form></td></tr>",
            euros(cents),
            euros(sum)
        );
    }
    let body = if rows.is_empty() {
        "<p>It is empty. <a href=\"/\">Have a look around.</a></p>".to_owned()
    } else {
        format!(
            "<div class=\"scroll\"><table><caption class=\"unseen\">What is in your cart</caption>\
             <thead><tr><th scope=\"col\">Item</th><th scope=\"col\" class=\"amount each\">Each</th>\
             <th scope=\"col\">Quantity</th><th scope=\"col\" class=\"amount\">Sum</th>\
             <th scope=\"col\"><span class=\"unseen\">Remove</span></th></tr></thead><tbody>{rows}</tbody>\
             <tfoot><tr><th scope=\"row\">Total</th><td class=\"each\"></td><td></td><td class=\"amount\"><strong>{}</strong></td><td></td></tr>\
             </tfoot></table></div>",
            euros(total)
        )
    };
    page(&session, Place::Cart, "Your cart", &body)
}

#[derive(Deserialize)]
pub(crate) struct Addition {
    item: String,
}

pub(crate) async fn add(session: Session, Form(form): Form<Addition>) -> Result<Response, SessionError> {
    put(&session, form.item, "is in your cart", |before| before.saturating_add(1))
}

#[derive(Deserialize)]
pub(crate) struct Change {
    item: String,
    quantity: u32,
}

pub(crate) async fn set(session: Session, Form(form): Form<Change>) -> Result<Response, SessionError> {
    let done = if form.quantity == 0 { "was taken out" } else { "was updated" };
    put(&session, form.item, done, move |_| form.quantity)
}

fn put(
    session: &Session,
    item: String,
    done: &str,
    quantity: impl Fn(u32) -> u32 + Send + Sync + 'static,
) -> Result<Response, SessionError> {
    let Some(good) = GOODS.iter().find(|good| good.code == item) else {
        return Ok(sorry(StatusCode::NOT_FOUND, "The shop does not have that."));
    };
    // The closure runs again on what another tab saved meanwhile: neither click is lost.
    CART.update(session, move |cart| {
        let mut cart = cart.unwrap_or_default();
        match quantity(cart.get(&item).copied().unwrap_or(0)).min(MOST) {
            0 => cart.remove(&item),
            quantity => cart.insert(item.clone(), quantity),
        };
        cart
    })?;
    notice(session, format!("{} {done}.", good.name))?;
    Ok(then("/cart"))
}
