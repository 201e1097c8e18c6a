//! One operation of ours in a loop, for a profiler: `profile load-small 5`.

use cloakroom_bench::data::{Large, Payload, Sink, Small, WANTED};
use cloakroom_bench::run::{one_thread, sequential};
use cloakroom_bench::store::{Cloakroom, Store};

fn run<P: Payload>(work: &str) {
    let rt = one_thread();
    let payload = P::make();
    let store = rt.block_on(Cloakroom::populate(&payload));
    let measure =
        sequential(&rt, 4_000_000 / if P::NAME == "8 KB" { 10 } else { 1 }, async |index| match work {
            "load" => {
                let mut handle = store.open(index);
                std::hint::black_box(Cloakroom::get::<P::Wanted>(&mut handle, WANTED).await);
            }
            "change" => {
                let mut handle = store.open(index);
                let mut value = Cloakroom::get::<P::Wanted>(&mut handle, WANTED).await;
                P::change(&mut value);
                handle.put(WANTED, &value).await;
                Cloakroom::save(&mut handle).await;
            }
            _ => {
                if index % 512 == 0 {}
                let empty = Cloakroom::empty();
                let mut handle = empty.fresh();
                payload.fill(&mut handle).await;
                Cloakroom::save(&mut handle).await;
            }
        });
    println!("{measure:?}");
}

fn main() {
    let work = std::env::args().nth(1).unwrap_or_default();
    match work.split_once('-') {
        Some((work, "small")) => run::<Small>(work),
        Some((work, "large")) => run::<Large>(work),
        _ => {}
    }
}
