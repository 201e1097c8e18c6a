//! A process is killed at any moment: what it acknowledged is there, what it did not is there or not, and nothing else
//! is left.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::{
    Filter, Limits, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use futures_util::future::join_all;

use crate::{child, place};

const KILLS: u64 = 500;
const WORKERS: usize = 4;
const SYNCED: &str = "CLOAKROOM_TEST_FILE_SYNCED";

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn owner(worker: usize) -> Owner {
    Owner::parse(&format!("worker:{worker}")).expect("an owner")
}

fn say(worker: usize, words: &str) {
    let line = format!("log {worker} {words} .\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
}

/// One session after the other: created, changed, touched, moved twice, ended. Says what it is about to do, and when it
/// is done.
async fn work(backend: FileSessionBackend, worker: usize) {
    let limits = Limits::none().with_per_owner(2);
    loop {
        let mut at = key();
        let now = backend.clock().now();
        let mut record = Record::new(vec![0; 600], now)
            .with_owner(Some(owner(worker)))
            .with_expires_at(Some(now + Duration::from_secs(3600)));
        say(worker, &format!("create {}", at.expose()));
        backend.write(&at, record.clone(), Write::create().with_limits(limits)).await.expect("a session");
        say(worker, "done");
        for turn in 1..=4_u8 {
            let mut next = record.clone().with_version(record.version.next(now));
            next.payload = vec![turn; 600 + usize::from(turn) * 40_000 % 90_000].into();
            if turn % 2 == 1 {
                say(worker, &format!("update {}", at.expose()));
                backend.write(&at, next.clone(), Write::update(record.version)).await.expect("an update");
            } else {
                let new = key();
                let mut how = Rotate::new(record.version).with_limits(limits);
                if turn == 2 {
                    how = how.with_trail(Record::moved(new.id(), now, now + Duration::from_secs(3600)));
                }
                say(worker, &format!("rotate {}", new.expose()));
                backend.rotate(&at, &new, next.clone(), how).await.expect("a rotation");
                at = new;
            }
            say(worker, "done");
            record = next;
            let touch = Touch::new(record.version, now + Duration::from_secs(7200));
            backend.touch(&at, touch).await.expect("a touch").expect("a session to touch");
        }
        say(worker, "remove");
        assert!(backend.remove(&at, Removal::Explicit).await.expect("a removal"));
        say(worker, "done");
    }
}

#[test]
fn child_that_works_until_it_is_killed() {
    let Some(folder) = child::folder() else { return };
    let synced = std::env::var_os(SYNCED).is_some();
    let durability = if synced { Durability::File } else { Durability::None };
    child::run(async {
        let backend = FileSessionBackend::builder(folder).with_durability(durability).open().await;
        let backend = backend.expect("a backend");
        join_all((0..WORKERS).map(|worker| tokio::spawn(work(backend.clone(), worker)))).await;
    });
}

/// What a worker said of its present session.
#[derive(Default)]
struct Told {
    /// Where it is and how often it was changed, if there is one.
    session: Option<(String, u8)>,
    /// What was begun and perhaps not done.
    begun: Option<Vec<String>>,
    /// Keys that are dead for good.
    dead: Vec<String>,
}

impl Told {
    fn hear(&mut self, words: &[&str]) {
        if words != ["done"] {
            self.begun = Some(words.iter().map(ToString::to_string).collect());
            return;
        }
        let (session, dead) = self.after();
        (self.session, self.begun) = (session, None);
        self.dead.extend(dead);
    }

    /// The session once what was begun is done, and the key that is dead then.
    fn after(&self) -> (Option<(String, u8)>, Option<String>) {
        let begun = self.begun.as_deref().unwrap_or_default();
        match (begun, &self.session) {
            ([create, key], None) if create == "create" => (Some((key.clone(), 0)), None),
            ([update, _], Some((at, turn))) if update == "update" => (Some((at.clone(), turn + 1)), None),
            ([rotate, new], Some((at, turn))) if rotate == "rotate" => {
                (Some((new.clone(), turn + 1)), Some(at.clone()))
            }
            ([remove], Some((at, _))) if remove == "remove" => (None, Some(at.clone())),
            (begun, _) => panic!("{begun:?} makes no sense here"),
        }
    }
}

/// Runs the child until it said enough, and a little longer.
fn run_and_kill(folder: &Path, round: u64, random: u64) -> BTreeMap<usize, Told> {
    let mut command = child::command("kill::child_that_works_until_it_is_killed", folder);
    if round.is_multiple_of(4) {
        command.env(SYNCED, "");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut told: BTreeMap<usize, Told> = BTreeMap::new();
    let (enough, longer) = (1 + random % 60, Duration::from_micros(random >> 32 & 0x3ff));
    let mut heard = 0;
    while let Some(Ok(line)) = lines.next() {
        let Some(words) = line.find("log ").map(|at| line[at..].split(' ').collect::<Vec<_>>()) else {
            continue;
        };
        // The last line may have been cut off.
        let ["log", worker, words @ .., "."] = words.as_slice() else { continue };
        told.entry(worker.parse().expect("a number")).or_default().hear(words);
        heard += 1;
        if heard == enough {
            // Not a pause: any moment of what goes on in the child.
            let moment = Instant::now() + longer;
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            child.kill().expect("it dies");
        }
    }
    child.wait().expect("it is over");
    assert!(heard >= enough, "round {round}: the child ended by itself");
    told
}

async fn read(backend: &FileSessionBackend, text: &str) -> Option<Record> {
    let at = SessionKey::parse(text, &backend.capability()).expect("a key");
    backend.read(&at).await.expect("a readable folder").filter(Record::is_live)
}

async fn is_so(backend: &FileSessionBackend, session: Option<&(String, u8)>) -> bool {
    let Some((at, turn)) = session else { return true };
    let Some(record) = read(backend, at).await else { return false };
    assert!(record.payload.iter().all(|byte| *byte == record.payload[0]), "a session of two halves");
    record.payload[0] == *turn
}

async fn check(backend: &FileSessionBackend, worker: usize, told: &Told, round: u64) -> u64 {
    let mine = Filter::unscoped().with_owner(owner(worker));
    let count = backend.count(&mine).await.expect("a count");
    for dead in &told.dead {
        assert!(read(backend, dead).await.is_none(), "round {round}: what was gone came back");
    }
    let before = told.session.as_ref();
    let mut found = is_so(backend, before).await && count == u64::from(before.is_some());
    if told.begun.is_some() {
        let (after, dead) = told.after();
        let dead_is_dead = match dead {
            Some(dead) => read(backend, &dead).await.is_none(),
            None => true,
        };
        let done =
            dead_is_dead && is_so(backend, after.as_ref()).await && count == u64::from(after.is_some());
        assert!(!(found && done), "round {round}: one session in two places");
        found |= done;
    }
    assert!(found, "round {round}: {:?} was acknowledged, then {:?} begun", told.session, told.begun);
    count
}

async fn listed(backend: &FileSessionBackend, filter: &Filter) -> u64 {
    let (mut listed, mut after) = (0, None);
    loop {
        let page = backend.scan(filter, after, 1000).await.expect("a scan");
        listed += page.entries.len() as u64;
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn process_killed_at_any_moment_acknowledged_stays_and_nothing_else() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let open = || {
        let folder = place::folder();
        let open = FileSessionBackend::builder(&folder).with_durability(Durability::None).open();
        (runtime.block_on(open).expect("a backend"), folder)
    };
    let (mut backend, mut folder) = open();
    let (mut random, mut unfinished, mut leftovers) = (0x9E37_79B9_7F4A_7C15_u64, 0, 0);
    for round in 0..KILLS {
        // The trails of many rounds make each of them slow.
        if round % 50 == 0 {
            std::fs::remove_dir_all(&folder).expect("deleted");
            (backend, folder) = open();
        }
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let told = run_and_kill(&folder, round, random >> 8 ^ random);
        leftovers += u64::from(!is_empty(&folder.join("tmp")));
        runtime.block_on(async {
            let mut live = 0;
            for (worker, told) in &told {
                unfinished += u64::from(told.begun.is_some());
                live += check(&backend, *worker, told, round).await;
            }
            assert_eq!(backend.sweep(usize::MAX).await.expect("a sweep"), 0, "nothing had expired");
            assert!(is_empty(&folder.join("tmp")), "round {round}: a temporary file outlived the sweep");
            let all = Filter::everywhere().with_payload();
            assert_eq!(listed(&backend, &all).await, live, "round {round}: every session is somebody's");
            assert_eq!(backend.remove_all(&all, Removal::Explicit).await.expect("removed"), live);
        });
        assert!(is_empty(&folder.join("damaged")), "round {round}: something was unreadable");
    }
    std::fs::remove_dir_all(&folder).expect("deleted");
    assert!(unfinished > KILLS && leftovers > 0, "{unfinished} unfinished, {leftovers} with leftovers");
    eprintln!("{KILLS} kills: {unfinished} operations cut off, temporary files after {leftovers}");
}
