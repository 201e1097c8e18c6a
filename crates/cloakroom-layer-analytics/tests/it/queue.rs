//! Sinks that are slow.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::{InMemorySessionBackend, SessionBackend, SessionBackendExt};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, Operation, Outcome, QueuedAnalytics, SessionAnalytics,
};

use crate::place::{Memory, create, key};

/// Tells that it has an event, and waits until it may go on.
fn blocking() -> (impl SessionAnalytics, Receiver<AnalyticsEvent>, Sender<()>) {
    let (arrived, arrivals) = channel();
    let (go, may_go) = channel();
    let may_go = Mutex::new(may_go);
    let sink = move |event: &AnalyticsEvent| {
        let _ = arrived.send(event.clone());
        let _ = may_go.lock().unwrap().recv();
    };
    (sink, arrivals, go)
}

fn event(millis: u64) -> AnalyticsEvent {
    AnalyticsEvent::new(Operation::Read, Outcome::Accessed { hit: true }, Duration::from_millis(millis))
}

/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn blocked_sink_delays_no_request_and_what_does_not_fit_is_counted() {
    let (sink, arrivals, go) = blocking();
    let (queue, worker) = QueuedAnalytics::new(sink, 4);
    let thread = std::thread::spawn(move || worker.run());
    let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(queue.clone()));
    let (key, _) = create(&backend).await;
    assert_eq!(arrivals.recv().unwrap().outcome, Outcome::Created);
    // The sink hangs, with one event in its hands, and requests go on.
    for _ in 0..10 {
        assert!(backend.read(&key).await.unwrap().is_some());
    }
    assert_eq!((queue.len(), queue.dropped()), (4, 6));
    assert!(!queue.close(Duration::ZERO), "it still hangs");

    assert!(backend.read(&key).await.unwrap().is_some());
    assert_eq!(queue.dropped(), 7, "closed");
    drop(go); // it hangs no more
    assert!(queue.close(PATIENCE));
    thread.join().unwrap();
    assert_eq!(arrivals.iter().count(), 4, "drained");
    assert!(queue.is_empty());
}

#[test]
fn events_arrive_in_order_and_the_rest_when_the_last_handle_goes() {
    let told = Memory::default();
    let (queue, worker) = QueuedAnalytics::new(told.clone(), 100);
    let clone = queue.clone();
    for millis in 0..100 {
        clone.record(&event(millis));
    }
    drop((queue, clone));
    worker.run(); // on this very thread: it ends by itself
    let latencies: Vec<u128> = told.take().iter().map(|event| event.latency.as_millis()).collect();
    assert_eq!(latencies, (0..100).collect::<Vec<_>>());
}

#[test]
fn worker_survives_a_panic_of_its_sink() {
    let told = Arc::new(Mutex::new(0));
    let count = Arc::clone(&told);
    let sink = move |_: &AnalyticsEvent| {
        let mut count = count.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *count += 1;
        std::panic::resume_unwind(Box::new("every time"));
    };
    let (queue, worker) = QueuedAnalytics::new(sink, 10);
    for millis in 0..5 {
        queue.record(&event(millis));
    }
    let thread = std::thread::spawn(move || worker.run());
    assert!(queue.close(PATIENCE));
    thread.join().unwrap();
    assert_eq!(*told.lock().unwrap_or_else(std::sync::PoisonError::into_inner), 5);
}

#[test]
fn worker_dropped_everything_counted_as_dropped_and_close_says_so() {
    let (queue, worker) = QueuedAnalytics::new(Memory::default(), 10);
    queue.record(&event(1));
    drop(worker);
    queue.record(&event(2));
    assert_eq!((queue.len(), queue.dropped()), (0, 2));
    assert!(!queue.close(PATIENCE));

    let (queue, worker) = QueuedAnalytics::new(Memory::default(), 0);
    queue.record(&event(1));
    queue.record(&event(2));
    assert_eq!((queue.len(), queue.dropped()), (1, 1), "room for one at least");
    assert!(format!("{queue:?}{worker:?}").contains("dropped: 1"));
    assert!(!queue.close(Duration::ZERO), "nobody runs it");
    worker.run();
    assert!(queue.close(PATIENCE));
}

#[tokio::test]
async fn queue_full_of_others_still_answers() {
    let (queue, _worker) = QueuedAnalytics::new(Memory::default(), 1);
    let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(queue.clone()));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.read(&key()).await.unwrap().is_none() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!((queue.len() as u64, queue.dropped()), (1, 63));
}
