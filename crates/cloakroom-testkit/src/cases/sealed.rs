use cloakroom_core::{ErrorKind, Filter, Record, Rotate, SessionBackend, SessionKey, Touch, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key};

/// What a client shows that holds that text.
fn shown(subject: &Subject, text: &str) -> Option<SessionKey> {
    SessionKey::parse(text, subject.capability()).ok()
}

async fn update_refused(subject: &Subject, key: &SessionKey, before: &Record) {
    let late = subject.revise(before, "late");
    match subject.backend().write(key, late, Write::update(before.version)).await {
        Ok(_) => panic!("an update was accepted"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Gone | ErrorKind::Unsupported), "{error}"),
    }
}

async fn touch_finds_nothing(subject: &Subject, key: &SessionKey, before: &Record) {
    let touch = Touch::new(before.version, subject.now() + HOUR * 2);
    assert!(subject.backend().touch(key, touch).await.expect("touch").is_none());
}

/// A text that was changed in any place, cut off or extended is as good as none (CV-01).
pub async fn sealed_text_changed_nothing(subject: &Subject) {
    let record = subject.record("{\"role\":\"user\"}");
    let key = subject.create(&record).await;
    let text = key.expose();
    let mut changed = vec![format!("{text}A"), format!("A{text}"), String::from(&text[1..])];
    for at in 0..text.len() {
        // The shape of an acceptable key stays.
        let other = if text.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        changed.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        changed.push(text[..at].to_owned());
    }
    for key in changed.iter().filter_map(|text| shown(subject, text)) {
        assert_eq!(subject.read(&key).await, None, "a changed text was accepted");
        update_refused(subject, &key, &record).await;
        touch_finds_nothing(subject, &key, &record).await;
    }
    let unchanged = shown(subject, text).expect("its own text is acceptable");
    assert_eq!(subject.read(&unchanged).await, Some(record));
}

/// Through updates and touches a session keeps the id of the key it was created with; texts change. A text that a
/// client shows learns the id when it is read.
pub async fn sealed_update_and_touch_keep_the_id(subject: &Subject) {
    let secret = fresh_key();
    let record = subject.record("{}");
    let created = subject.write(&secret, &record, Write::create()).await;
    assert!(created.id() == secret.id() && created.is_sealed());
    assert_ne!(created.expose(), secret.expose());
    let read = shown(subject, created.expose()).expect("its own text is acceptable");
    assert_eq!(subject.read(&read).await.as_ref(), Some(&record));
    assert!(read.id() == secret.id(), "the id of a text that was read");
    subject.advance(SECOND);
    let touch = Touch::new(record.version, subject.now() + HOUR);
    let touched = subject.backend().touch(&read, touch).await.expect("touch").expect("a live session");
    assert!(touched.id() == secret.id(), "the id after a touch");
    let next = subject.revise(&record, "{\"a\":1}");
    let Some(updated) = subject.update(&touched, &next, record.version).await else { return };
    assert!(updated.id() == secret.id(), "the id after an update");
    assert_ne!(updated.expose(), touched.expose());
    assert_eq!(subject.read(&updated).await, Some(next));
}

/// After a rotation the session has the id of the new key. Where sessions can be revoked, the old texts are dead.
pub async fn sealed_rotate_takes_the_new_id(subject: &Subject) {
    let record = subject.record("{}");
    let old = subject.create(&record).await;
    let new = fresh_key();
    let next = subject.revise(&record, "moved");
    let rotated = subject.backend().rotate(&old, &new, next.clone(), Rotate::new(record.version)).await;
    let rotated = rotated.unwrap_or_else(|error| panic!("rotate: {error}"));
    assert!(rotated.id() == new.id() && rotated.scope().is_none());
    assert_eq!(subject.read(&rotated).await, Some(next));
    if subject.capability().revocable {
        assert!(!subject.lives(&old).await, "the text of before the rotation is alive");
        update_refused(subject, &old, &record).await;
    }
}

/// A session that was removed is dead with every text that it ever had, also with those that end later than the one
/// that was shown.
pub async fn sealed_removed_every_text_dead(subject: &Subject) {
    let record = subject.record("{}");
    let first = subject.create(&record).await;
    subject.advance(SECOND);
    let touch = Touch::new(record.version, subject.now() + HOUR * 50);
    let touched = subject.backend().touch(&first, touch).await.expect("touch").expect("a live session");
    let next = subject.revise(&record, "later").with_expires_at(Some(subject.now() + HOUR * 90));
    let updated = subject.update(&touched, &next, record.version).await;
    assert!(subject.remove(&first).await);
    for wait in [SECOND, HOUR, HOUR * 30, HOUR * 30] {
        for key in [Some(&first), Some(&touched), updated.as_ref()].into_iter().flatten() {
            assert!(!subject.lives(key).await, "a removed session is alive {wait:?} later");
            assert!(!subject.remove(key).await);
            update_refused(subject, key, &record).await;
            touch_finds_nothing(subject, key, &record).await;
        }
        subject.advance(wait);
        subject.sweep(100).await;
    }
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 0);
    }
}
