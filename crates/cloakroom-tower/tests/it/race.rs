//! Parallel requests of one session.

use cloakroom_core::*;

use crate::site::{Browser, Site};

// Property 1: nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_requests_of_one_session_lose_neither_fields_nor_counts() {
    const REQUESTS: usize = 64;
    let site = Site::new();
    let mut browser = site.visitor().await;
    let requests = (0..REQUESTS).map(|number| {
        let mut tab = browser.clone();
        tokio::spawn(async move {
            let handler = async move |session: Session| {
                session.set(&format!("field {number}"), number).unwrap();
                tokio::task::yield_now().await;
                session.update("count", |count: Option<usize>| count.unwrap_or(0) + 1).unwrap();
            };
            let answer = tab.visit(handler).await;
            assert_eq!((answer.status.as_u16(), answer.cookies().len()), (200, 0));
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    let handler = async |session: Session| {
        for number in 0..REQUESTS {
            assert_eq!(session.get(&format!("field {number}")).unwrap(), Some(number));
        }
        session.get::<usize>("count").unwrap().unwrap().to_string()
    };
    assert_eq!(browser.visit(handler).await.body, REQUESTS.to_string());
}

// Property 2, CV-14: gone is gone. Requests race a logout; afterwards no key opens anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_requests_and_a_logout_leave_no_session() {
    for _ in 0..50 {
        let site = Site::new();
        let browser = site.visitor().await;
        let mut tasks = Vec::new();
        for number in 0..8 {
            let mut tab = browser.clone();
            tasks.push(tokio::spawn(async move {
                // No cookie: whoever comes after the logout starts nothing here, for nothing is set without a user.
                let handler = async move |session: Session| {
                    if session.contains_key("user") {
                        if number % 2 == 0 {
                            let _ = session.cycle_key().await;
                        }
                        session.set("late", number).unwrap();
                    }
                };
                tab.visit(handler).await;
                tab
            }));
        }
        let mut leaver = browser.clone();
        let logout = tokio::spawn(async move {
            leaver.visit(async |session: Session| session.flush().await.is_ok().to_string()).await.body
        });
        let mut tabs: Vec<Browser> = Vec::new();
        for task in tasks {
            tabs.push(task.await.unwrap());
        }
        assert_eq!(logout.await.unwrap(), "true");
        assert_eq!(site.sessions().await, 0);
        for mut tab in tabs {
            if tab.cookie.is_some() {
                assert_eq!(tab.user().await, None);
            }
        }
    }
}
