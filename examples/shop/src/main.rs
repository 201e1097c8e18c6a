//! A small shop: a cart, a visit counter, sign-in, "your devices". Its sessions live in SQLite unless told otherwise,
//! and survive a restart; what is stored can be compressed, encrypted, counted, and kept apart for several shops. `cargo run -p shop`, then open the address it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A program for the terminal.

mod account;
mod cart;
mod options;
mod page;
mod site;
mod stack;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use cloakroom::{CookieConfig, SessionBackendExt, Sweeper};
use tokio::net::TcpListener;

use options::Options;
use stack::Stack;

/// How long requests under way may take when the shop closes.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("shop: {problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("shop: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let cookie =
        if options.secure { CookieConfig::default() } else { CookieConfig::insecure_for_development() };
    let url = options.backend_url(cookie.name());
    let store = cloakroom::connect(&url).await.map_err(|error| explained(&error))?;
    let stack = Stack::new(store, &options)?;
    // Layers that do not fit say so now rather than to every visitor.
    stack.backend.ping().await.map_err(|error| explained(&error))?;
    let listener = listen(options.listen).await?;
    let metrics = match options.metrics {
        Some(address) => stack.registry.clone().zip(Some(listen(address).await?)),
        None => None,
    };
    announce(&options, listener.local_addr()?);
    if let Some((registry, listener)) = metrics {
        println!("Metrics are at http://{}/metrics", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, site::metrics(registry)).await });
    }
    announce_cookie(&options);
    // One for all tenants: what has expired is nobody's.
    let sweeper = Sweeper::new(stack.backend.clone()).with_interval(Duration::from_secs(60)).start();
    serve(listener, site::routes(stack.backend.clone(), stack.sessions(cookie))).await?;
    sweeper.stop().await;
    println!("Bye. Sessions stay where they are.");
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))
}

async fn serve(listener: TcpListener, site: Router) -> std::io::Result<()> {
    let site = site.into_make_service_with_connect_info::<SocketAddr>();
    let (stopping, mut stopped) = tokio::sync::watch::channel(());
    let told = async move {
        told_to_stop().await;
        drop(stopping);
    };
    let serving = axum::serve(listener, site).with_graceful_shutdown(told);
    // Requests under way are finished, but a browser that holds its connection open does not hold the shop open.
    let patience = async {
        let _ = stopped.changed().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        served = serving => served,
        () = patience => Ok(()),
    }
}

fn announce(options: &Options, address: SocketAddr) {
    let scheme = if options.secure { "https" } else { "http" };
    println!("The shop is open at {scheme}://{address}/ (stop it with Ctrl-C)");
    let compressed = if options.compress { ", compressed" } else { "" };
    let encrypted = if options.encrypt.is_some() { ", encrypted" } else { "" };
    println!("Sessions are kept in {}{compressed}{encrypted}", options.backend_for_people());
    if let Some(domain) = &options.tenants {
        println!("Each host below {domain} is a shop: {scheme}://acme.{domain}:{}/", address.port());
    }
}

fn announce_cookie(options: &Options) {
    if options.secure {
        println!("Its cookie is __Host-id with Secure: put a server that speaks TLS in front of it.");
    } else {
        println!("Plain HTTP on this machine only: its cookie is named `id` and has no Secure attribute.");
    }
}

fn explained(error: &cloakroom::SessionError) -> String {
    use std::error::Error;
    let cause = error.source().map_or_else(String::new, |source| format!(" ({source})"));
    format!("cannot use that backend: {error}{cause}")
}

async fn told_to_stop() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    interrupted.await;
}
