use crate::run::{Outcome, Role, median};

/// What a cell has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Ours divided by the best peer, at most.
    AtMost(f64),
    /// Shown without a judgement.
    None,
}

struct Row {
    cell: String,
    ours: String,
    against: String,
    ratio: String,
    bar: String,
    verdict: &'static str,
}

/// Collects the rows of one target and prints them.
pub struct Report {
    target: &'static str,
    filter: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    /// Prints the facts of the machine.
    pub fn new(target: &'static str) -> Self {
        crate::alloc::keep_memory();
        let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rustc = std::process::Command::new("rustc").arg("--version").output().ok();
        let rustc = rustc.and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "# {target}: {cores} cores, {}, load {}",
            rustc.trim(),
            load.split(' ').next().unwrap_or("unknown")
        );
        Self { target, filter, rows: Vec::new() }
    }

    /// Whether a cell was asked for.
    pub fn wants(&self, cell: &str) -> bool {
        self.filter.is_empty()
            || self.filter.iter().any(|part| cell.contains(part) || self.target.contains(part))
    }

    /// A note between the cells.
    pub fn note(&self, text: &str) {
        println!("{text}");
    }

    /// Prints all contenders of a cell.
    pub fn show(&self, cell: &str, outcomes: &[Outcome]) {
        println!("\n{cell}");
        for one in outcomes {
            println!(
                "  {:<28} best {:>10}  median {:>10}  {:>7.1} allocations",
                one.name,
                time(one.best()),
                time(one.median()),
                one.allocations
            );
        }
    }

    /// Ours against the fastest peer, by the best rounds.
    pub fn compare(&mut self, cell: &str, outcomes: &[Outcome], bar: Bar) {
        self.compare_over(cell, outcomes, None, bar);
    }

    /// As `compare`, with what a bare run costs taken off both.
    pub fn compare_over(&mut self, cell: &str, outcomes: &[Outcome], base: Option<&str>, bar: Bar) {
        self.show(cell, outcomes);
        let bare = outcomes.iter().find(|one| Some(one.name.as_str()) == base);
        let off = bare.map_or(0.0, Outcome::best);
        let best = |one: &Outcome| one.best() - off;
        let Some(ours) = outcomes.iter().find(|one| one.role == Role::Ours) else { return };
        let peers = outcomes.iter().filter(|one| one.role == Role::Peer);
        let Some(peer) = peers.min_by(|a, b| best(a).total_cmp(&best(b))) else { return };
        let ratio = best(ours) / best(peer);
        // Neighbouring rounds met the same neighbours on the machine.
        let off = bare.map_or(0.0, Outcome::median);
        let pairs = ours.rounds.iter().zip(&peer.rounds).map(|(ours, peer)| (ours - off) / (peer - off));
        let usual = median(pairs.collect());
        let (limit, verdict) = match bar {
            Bar::AtMost(limit) => (format!("≤ {limit:.2}"), if ratio <= limit { "PASS" } else { "MISS" }),
            Bar::None => (String::from("–"), ""),
        };
        println!("  ratio {ratio:.2} to {} (median of rounds {usual:.2}), bar {limit} {verdict}", peer.name);
        self.rows.push(Row {
            cell: cell.to_owned(),
            ours: time(best(ours)),
            against: format!("{} {}", peer.name, time(best(peer))),
            ratio: format!("{ratio:.2} ({usual:.2})"),
            bar: limit,
            verdict,
        });
    }

    /// A row that was computed elsewhere.
    pub fn row(&mut self, cell: &str, ours: &str, against: &str, value: f64, bar: &str, pass: bool) {
        let verdict = if pass { "PASS" } else { "MISS" };
        println!("{cell}: {ours} against {against}: {value:.2}, bar {bar} {verdict}");
        self.rows.push(Row {
            cell: cell.to_owned(),
            ours: ours.to_owned(),
            against: against.to_owned(),
            ratio: format!("{value:.2}"),
            bar: bar.to_owned(),
            verdict,
        });
    }

    /// Prints the table.
    pub fn finish(self) {
        println!("\n| {} | ours | against | ratio (median) | bar | |", self.target);
        println!("|---|---|---|---|---|---|");
        for row in self.rows {
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                row.cell, row.ours, row.against, row.ratio, row.bar, row.verdict
            );
        }
        println!();
    }
}

/// Nanoseconds, readable.
pub fn time(nanos: f64) -> String {
    if nanos.abs() >= 1e6 {
        format!("{:.2} ms", nanos / 1e6)
    } else if nanos.abs() >= 1e3 {
        format!("{:.2} µs", nanos / 1e3)
    } else {
        format!("{nanos:.0} ns")
    }
}
