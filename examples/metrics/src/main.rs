//! `cargo run -p metrics-endpoint`, then open http://127.0.0.1:3000 and http://127.0.0.1:9100/metrics.
#![allow(clippy::print_stdout)] // A program for the terminal.

use std::time::Duration;

use cloakroom::Sweeper;
use metrics_endpoint::Site;
use tokio::net::TcpListener;

const PAGES: &str = "127.0.0.1:3000";
const METRICS: &str = "127.0.0.1:9100";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let name = url.split(':').next().unwrap_or_default().to_owned();
    let site = Site::over(cloakroom::connect(&url).await?, &name)?;
    let (pages, metrics) = (TcpListener::bind(PAGES).await?, TcpListener::bind(METRICS).await?);
    println!("Pages at http://{PAGES}, metrics at http://{METRICS}/metrics. Ctrl-C ends it.");

    let sweeper = Sweeper::new(site.backend()).with_interval(Duration::from_secs(60)).start();
    let counted = site.clone();
    let counting = tokio::spawn(async move {
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        loop {
            minute.tick().await;
            // What fails is counted as an error of `count`; the next minute has another try.
            let _ = counted.refresh().await;
        }
    });
    tokio::select! {
        served = async { axum::serve(pages, site.pages()).await } => served?,
        served = async { axum::serve(metrics, site.metrics()).await } => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    counting.abort();
    sweeper.stop().await;
    Ok(())
}
