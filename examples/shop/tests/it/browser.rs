//! As much of a browser as the shop needs.

use std::io::{Read, Write};
use std::net::TcpStream;

pub struct Page {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The text of the field `name="…" value="…"`.
    pub fn value(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let rest = self.body.split(&mark).nth(1).unwrap_or_else(|| panic!("no {name} in {}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }

    pub fn has(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}

#[derive(Clone)]
pub struct Browser {
    pub address: String,
    pub host: String,
    pub cookie: Option<String>,
    pub agent: &'static str,
    pub origin: String,
}

impl Browser {
    pub fn new(address: &str, agent: &'static str) -> Self {
        Self::of_host(address, address, agent)
    }

    /// One that came by a name that stands for the address.
    pub fn of_host(address: &str, host: &str, agent: &'static str) -> Self {
        let (address, host) = (address.to_owned(), host.to_owned());
        Self { address, cookie: None, agent, origin: format!("http://{host}"), host }
    }

    /// The same browser after the shop moved to another port. Cookies do not know ports.
    pub fn at(&self, address: &str) -> Self {
        Self { cookie: self.cookie.clone(), ..Self::new(address, self.agent) }
    }

    pub fn get(&mut self, path: &str) -> Page {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "")
    }

    /// Sends a form, and follows the redirect.
    pub fn post(&mut self, path: &str, form: &str) -> Page {
        let origin = &self.origin;
        let head = format!(
            "POST {path} HTTP/1.1\r\nOrigin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        let page = self.send(&head, form);
        match page.header("location").map(str::to_owned) {
            Some(to) => {
                assert_eq!(page.status, 303);
                self.get(&to)
            }
            None => page,
        }
    }

    fn send(&mut self, head: &str, body: &str) -> Page {
        let cookie = self.cookie.as_ref().map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "{head}Host: {}\r\nUser-Agent: {}\r\n{cookie}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.host,
            self.agent,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        for (_, value) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = value.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Page { status, headers, body: body.to_owned() }
    }
}
