//! A loopback proxy in front of a server, to take the server away without disturbing anybody else.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Connections stay open and nothing arrives.
    Stall,
    /// Connections are cut, and new ones at once too.
    Down,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<(u64, Mode)>,
}

impl Proxy {
    /// In front of the server that the URL names.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let (login, rest) = url.split_once('@').expect("a login in the URL");
        let (server, path) = rest.split_once('/').expect("a database in the URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, watching) = watch::channel((0, Mode::Pass));
        tokio::spawn(accept(listener, server.to_owned(), watching));
        (Self { address, state }, format!("{login}@{address}/{path}"))
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.1 = mode);
    }

    /// Cuts what is open now; new connections pass.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.0 += 1);
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

async fn accept(listener: TcpListener, server: String, state: watch::Receiver<(u64, Mode)>) {
    while let Ok((client, _)) = listener.accept().await {
        if state.borrow().1 == Mode::Down {
            continue;
        }
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::spawn(copy(from_client, to_server, state.clone()));
        tokio::spawn(copy(from_server, to_client, state.clone()));
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<(u64, Mode)>) {
    let cuts = state.borrow().0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let passes = *state.borrow_and_update();
        if passes.0 != cuts || passes.1 == Mode::Down {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            read = from.read(&mut buffer), if passes.1 == Mode::Pass => match read {
                Ok(read) if read > 0 && to.write_all(&buffer[..read]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}
