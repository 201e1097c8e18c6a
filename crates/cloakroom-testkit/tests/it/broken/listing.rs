use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_testkit::core::{
    Cursor, Filter, Page, Record, Result, ScopeFilter, SessionBackend, SessionKey, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, everything};

defect! { ScanSkipsAtPageEnds {}
    scan |_this, inner, filter, after, limit| {
        let mut page = inner.scan(filter, after, limit).await?;
        if page.next.is_some() {
            page.entries.pop();
        }
        Ok(page)
    }
}

defect! { ScanRepeatsAtPageEnds {}
    scan |_this, inner, filter, after, limit| {
        let mut page = inner.scan(filter, after, limit).await?;
        if limit > 1 && page.entries.len() > 1 {
            page.entries[0] = page.entries[1].clone();
        }
        Ok(page)
    }
}

defect! {
    /// `LIMIT … OFFSET …`
    ScanCountsOffsets {}
    scan |_this, inner, filter, after, limit| {
        let start = after.map_or(0, |cursor| usize::from_le_bytes(cursor.as_bytes().try_into().expect("a cursor of this scan")));
        let all = inner.scan(filter, None, 1_000_000).await?.entries;
        let entries: Vec<_> = all.into_iter().skip(start).take(limit).collect();
        let next = (entries.len() == limit).then(|| Cursor::new((start + limit).to_le_bytes()));
        Ok(Page::new(entries, next))
    }
}

defect! { ScanAlwaysGivesPayloads {}
    scan |_this, inner, filter, after, limit| {
        inner.scan(&filter.clone().with_payload(), after, limit).await
    }
}

defect! { ScanIgnoresTheException {}
    scan |_this, inner, filter, after, limit| {
        let mut filter = filter.clone();
        filter.except = None;
        inner.scan(&filter, after, limit).await
    }
}

defect! { CountIgnoresOwners {}
    count |_this, inner, filter| {
        let mut filter = filter.clone();
        filter.owner = None;
        inner.count(&filter).await
    }
}

defect! { CountTakesMarkers { markers: AtomicU64 }
    write |this, inner, key, record, how| {
        this.markers.fetch_add(u64::from(!record.is_live()), Ordering::SeqCst);
        inner.write(key, record, how).await
    }
    count |this, inner, filter| { Ok(inner.count(filter).await? + this.markers.load(Ordering::SeqCst)) }
}

defect! { CountNeverFalls { most: AtomicU64 }
    count |this, inner, filter| {
        let count = inner.count(filter).await?;
        Ok(this.most.fetch_max(count, Ordering::SeqCst).max(count))
    }
}

defect! { CountTakesPrefixesOfScopes {}
    count |_this, inner, filter| {
        let ScopeFilter::Is(prefix) = &filter.scope else { return inner.count(filter).await };
        let all = everything(inner).await?;
        let within = |scope: &str| scope.starts_with(prefix.as_str());
        Ok(all.iter().filter(|entry| entry.scope.as_ref().is_some_and(|scope| within(scope.as_str()))).count() as u64)
    }
}

defect! { CountIgnoresCase {}
    count |_this, inner, filter| {
        let Some(owner) = &filter.owner else { return inner.count(filter).await };
        let all = everything(inner).await?;
        let same = |record: &Record| record.owner.as_ref().is_some_and(|by| by.as_str().eq_ignore_ascii_case(owner.as_str()));
        Ok(all.iter().filter(|entry| filter.scope.matches(entry.scope.as_ref()) && same(&entry.record)).count() as u64)
    }
}

defect! {
    /// `LIKE` without escaping.
    CountTakesPatterns {}
    count |_this, inner, filter| {
        let Some(owner) = &filter.owner else { return inner.count(filter).await };
        if owner.as_str() == "%" {
            let mut filter = filter.clone();
            filter.owner = None;
            return inner.count(&filter).await;
        }
        inner.count(filter).await
    }
}
