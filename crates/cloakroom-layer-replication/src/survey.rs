//! Asking the copies who decides.

use cloakroom_core::{ErrorKind, Filter, Result, SessionBackend};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::timeout;

use crate::backend::Inner;
use crate::error::{NAME, is_refusal, unavailable};
use crate::regime::{Regime, is_control};
use crate::status::CopyStatus;
use crate::strategy::Failover;

/// Before looking once more.
const AGAIN: Duration = Duration::from_millis(50);

/// What the copies said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// What holds by their words.
    pub(crate) highest: Regime,
    /// Who answered.
    pub(crate) reached: u64,
    /// Who answered that it knows nothing.
    blank: u64,
    /// What each of them said.
    words: Vec<(usize, Regime)>,
}

impl Survey {
    pub(crate) const fn has_word_of(&self, copy: usize) -> bool {
        self.reached & !self.blank & (1 << copy) != 0
    }
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    /// Asks all copies; what those say that answer by then. One that hangs must not keep the word of the others back.
    pub(crate) async fn survey(&self, limit: Duration) -> Result<Survey> {
        let ask = |copy| async move {
            timeout(limit, self.control(copy)).await.unwrap_or_else(|_| {
                self.knowledge.note_missed(copy);
                Err(unavailable("read roles", "the copy takes too long"))
            })
        };
        let answers = join_all((0..self.copies()).map(ask)).await;
        let mut survey = Survey::default();
        for (copy, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok((regime, record)) => {
                    survey.words.push((copy, regime));
                    survey.reached |= 1 << copy;
                    survey.blank |= u64::from(record.is_none()) << copy;
                    if regime.outranks(&survey.highest) {
                        survey.highest = regime;
                    }
                }
                // A verdict of ours, not of the store, which is away for all that can be told.
                Err(error) if error.backend() == NAME && error.kind() != ErrorKind::Unavailable => {
                    tracing::warn!(target: "cloakroom::replication", copy, %error, "the control record of a copy is of no use");
                    if self.knowledge.current().is_none() {
                        return Err(error);
                    }
                }
                Err(error) => {
                    if self.knowledge.current().is_none() {
                        tracing::warn!(target: "cloakroom::replication", copy, %error, "a copy does not say who decides");
                    }
                }
            }
        }
        Ok(survey)
    }

    /// The first look, once for all that wait for it.
    pub(crate) async fn learn(&self) -> Result<Regime> {
        // The worker comes by here too; nothing may be written down about copies that do not fit.
        self.check("read roles")?;
        let first = timeout(self.config.patience, self.first_look.get_or_try_init(|| self.look()));
        let late = || unavailable("read roles", "the copies take too long");
        first.await.unwrap_or_else(|_| Err(late()))?;
        self.knowledge.current().ok_or_else(late)
    }

    /// A copy that does not answer may have been the last to decide, unless it is said to be behind.
    async fn look(&self) -> Result<()> {
        for round in 0..4 {
            if round > 0 {
                // Another process writes the first record; it is not on all copies yet.
                tokio::time::sleep(AGAIN).await;
            }
            let survey = self.survey(self.config.patience / 2).await?;
            let highest = survey.highest;
            let missing: Vec<usize> =
                (0..self.copies()).filter(|copy| survey.reached & (1 << copy) == 0).collect();
            if highest.epoch == 0 {
                if !missing.is_empty() {
                    return Err(unavailable(
                        "read roles",
                        "all copies must answer when they are used the first time",
                    ));
                }
                match self.begin().await {
                    Err(error) if is_refusal(&error) => continue,
                    begun => return begun,
                }
            }
            let harmless = |copy: &usize| (highest.behind | highest.catching) & (1 << copy) != 0;
            if !survey.has_word_of(highest.authority) {
                if survey.reached & (1 << highest.authority) != 0 && round < 3 {
                    continue;
                }
                let message = "the copy that decides does not answer, or is empty";
                return Err(unavailable("read roles", message));
            }
            if self.config.failover == Failover::Promote && !missing.iter().all(harmless) {
                let message = "a copy does not answer, and it may be the one that decides";
                return Err(unavailable("read roles", message));
            }
            self.knowledge.adopt(highest);
            return Ok(());
        }
        Err(unavailable("read roles", "others keep changing them"))
    }

    /// Writes down who decides when nobody ever did. What has sessions is compared first: they may be one side's alone.
    async fn begin(&self) -> Result<()> {
        let used = join_all((0..self.copies()).map(|copy| self.is_used(copy))).await;
        let used = used.into_iter().collect::<Result<Vec<bool>>>()?;
        let mut first = Regime { epoch: 1, ..Regime::default() };
        for copy in 1..self.copies() {
            if used.iter().enumerate().any(|(which, used)| *used && (which == 0 || which == copy)) {
                first.lose(copy, self.now());
            }
        }
        self.write_control(0, first, None).await?;
        let others = (1..self.copies()).filter(|copy| first.status(*copy) == CopyStatus::InSync);
        let told = others.map(|copy| timeout(self.config.patience, self.mirror(copy, first)));
        // Who was not told is behind at the next look.
        join_all(told).await;
        self.adopt(first);
        Ok(())
    }

    async fn is_used(&self, copy: usize) -> Result<bool> {
        match self.replica(copy).scan(&Filter::everywhere(), None, 2).await {
            Ok(page) => Ok(page.entries.iter().any(|entry| !is_control(entry.scope.as_ref()))),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks again; which copies answered.
    pub(crate) async fn poll(&self) -> Result<u64> {
        if self.knowledge.current().is_none() {
            self.learn().await?;
        }
        // Over before the next look is due, so that all that poll have heard of a change long before two intervals are over.
        let survey = self.survey(self.config.poll / 2).await?;
        let now = self.adopt(survey.highest);
        for copy in self.followers(&now).filter(|copy| survey.blank & (1 << copy) != 0) {
            // Emptied, replaced, or never told.
            drop(timeout(self.config.poll / 2, self.lose(copy, &now)).await);
        }
        // Who was not told would be believed where it alone answers.
        let late = survey.words.iter().filter(|(copy, told)| {
            now.outranks(told) && told.epoch > 0 && now.status(*copy) == CopyStatus::InSync
        });
        join_all(late.map(|(copy, _)| timeout(self.config.poll / 2, self.mirror(*copy, now)))).await;
        let promotes = self.config.failover == Failover::Promote;
        self.knowledge.doubt(self.knowledge.is_emptied() || (promotes && self.may_have_missed_much(&now)));
        Ok(survey.reached)
    }

    /// Whether a copy is silent that may have become the authority while this process did not listen.
    pub(crate) fn may_have_missed_much(&self, regime: &Regime) -> bool {
        (0..self.copies()).any(|copy| {
            copy != regime.authority
                && regime.status(copy) == CopyStatus::InSync
                && self.knowledge.is_silent(copy)
                && !self.was_heard_of(copy)
        })
    }

    /// Whether it was heard so shortly before it fell silent that what it said since, of which nobody here heard, was never
    /// acknowledged over: that takes two intervals, and its word after them.
    pub(crate) fn was_heard_of(&self, copy: usize) -> bool {
        self.knowledge.was_heard_until(copy, self.config.poll * 2)
    }
}
