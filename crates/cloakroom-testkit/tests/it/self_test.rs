//! The suite is itself tested: for each case there is a backend with one defect that the case rejects.

use std::collections::BTreeSet;

use cloakroom_testkit::core::ManualClock;
use cloakroom_testkit::{CASES, Case, Subject, case};

use crate::broken::{self, Broken, Defect};

/// Runs a case in a task of its own; whether it passed.
fn passes(case: &'static Case, defect: impl Defect) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = ManualClock::new();
        clock.advance(std::time::Duration::from_secs(3600));
        let subject = Subject::new(Broken::new(defect, clock.clock()), clock);
        let joined = tokio::spawn(async move { case.check(&subject).await }).await;
        match joined {
            Ok(()) => true,
            Err(error) => {
                assert!(error.is_panic());
                false
            }
        }
    })
}

macro_rules! rejected {
    ($($defect:ident: $($case:ident)*;)*) => {
        /// Every defect, with the cases that must reject it.
        const REJECTED: &[(&str, &[&str])] = &[$((stringify!($defect), &[$(stringify!($case)),*])),*];

        #[allow(non_snake_case)]
        mod rejects {
            use super::*;

            $(#[test]
            fn $defect() {
                let accepting: Vec<&str> = [$(stringify!($case)),*]
                    .into_iter()
                    .filter(|name| {
                        let case = case(name).unwrap_or_else(|| panic!("there is no case {name}"));
                        passes(case, broken::$defect::default())
                    })
                    .collect();
                assert!(accepting.is_empty(), "accepted by {accepting:?}");
            })*
        }
    };
}

rejected! {
    ReadCreates: read_never_issued_nothing;
    LosesCreation: read_after_write_every_field;
    RoundsTimesToSeconds: time_of_any_kind_to_the_millisecond read_after_write_every_field;
    EndsOneMillisecondLate: read_at_its_end_nothing read_expired_at_birth_nothing read_marker_found_until_its_end
        create_expired_there_replaces update_expired_gone touch_expired_none rotate_trail_ends_in_time
        rotate_nothing_there_gone rotate_new_key_expired_replaces remove_expired_false scan_live_only
        limit_expired_and_markers_uncounted time_of_end_compared_as_a_number sweep_expired_in_batches_counted
        model_random_sequences_agree;
    EndedMeansEndless: read_expired_at_birth_nothing update_to_expired_or_marker_ends;
    EndsWhenSwept: read_expired_nothing_whatever_was_swept time_from_the_given_clock_everywhere;
    GivesEveryRecordAnEnd: read_without_end_found_for_ever time_of_any_kind_to_the_millisecond;
    HidesMarkers: read_marker_found_until_its_end rotate_twice_then_logout_by_trail_ends overwrite_ended_buries;
    TakesTombstonesForTrails: state_of_any_kind_round_trips newer_ended_there_conflict;
    TakesIdsForKeys: read_id_as_key_nothing;
    IgnoresAddresses: address_of_key_reaches_the_record;
    RefusesLongNames: key_of_name_reaches_its_record;
    ReturnsScopedKeys: key_returned_is_the_given_one_unscoped;
    KeepsLowHalfOfVersions: version_of_any_size_round_trips;
    KeepsVersionsAsFloats: version_of_any_size_round_trips update_other_version_conflict;
    AsksAnotherClock: time_from_the_given_clock_everywhere read_at_its_end_nothing sweep_many_every_one;
    TakesTimesAsUnsigned: time_of_end_compared_as_a_number;
    ClockNeverStepsBack: time_stepping_back_ends_as_promised;

    CreateUpserts: create_live_there_already_exists create_marker_there_already_exists
        race_creates_of_one_key_one_wins model_random_sequences_agree;
    CreateReplacesMarkers: create_marker_there_already_exists overwrite_ended_buries;
    ExpiredIsInTheWay: create_expired_there_replaces rotate_new_key_expired_replaces;
    OverwriteYieldsToNewer: overwrite_anything_there_replaces;
    NewerNeedsSomethingOlder: newer_nothing_there_stores;
    NewerComparesTexts: newer_older_there_replaces newer_later_there_conflict;
    NewerRefusesTheSame: newer_same_version_there_done_already;
    NewerComparesNothing: newer_same_version_there_done_already newer_later_there_conflict
        model_random_sequences_agree;
    NewerRevivesTheBuried: newer_ended_there_conflict overwrite_ended_buries;
    HintForCachesEndsTheRecord: write_with_hot_ttl_same_result;

    UpdateKeepsTheOwner: update_same_version_replaces_every_field count_through_a_life_follows
        model_random_sequences_agree;
    UpdateCountsChangedRows: update_to_same_version_replaces;
    UpdateUpserts: update_nothing_there_gone update_removed_gone update_expired_gone
        race_logout_against_save_nothing_lives session_logout_against_save_nothing_lives;
    UpdateRevivesMarkers: update_marker_there_gone overwrite_ended_buries rotate_old_key_dead_on_every_path;
    UpdateComparesNothing: update_other_version_conflict race_updates_of_one_version_one_wins
        session_fields_and_counter_nothing_lost;
    UpdateComparesLowHalf: update_other_version_conflict;
    UpdateWantsRisingVersions: update_to_lower_version_replaces;
    UpdateStoresMarkersAsLive: update_to_expired_or_marker_ends;

    TouchChangesTheVersion: touch_same_version_extends_only;
    TouchShortens: touch_earlier_end_kept time_stepping_back_ends_as_promised;
    TouchComparesNothing: touch_other_version_unchanged;
    TouchComparesLowHalf: touch_other_version_unchanged;
    TouchCreates: touch_nothing_there_none touch_expired_none race_logout_against_touch_nothing_lives;
    TouchExtendsMarkers: touch_marker_none;

    RotateLeavesTheOldKey: rotate_without_trail_leaves_nothing rotate_old_key_dead_on_every_path
        rotate_live_listed_once rotate_live_moves_to_new_key;
    RotateForgetsTheTrail: rotate_live_moves_to_new_key rotate_twice_then_logout_by_trail_ends
        session_logout_after_two_cycles_ends session_logout_against_cycle_nothing_lives
        race_logout_against_rotate_nothing_lives race_logout_against_rotations_catches_up;
    RotateAlwaysLeavesATrail: rotate_without_trail_leaves_nothing;
    RotateLeavesAnEndlessTrail: rotate_trail_ends_in_time;
    RotateStartsANewLife: rotate_live_moves_to_new_key;
    RotateUpserts: rotate_nothing_there_gone rotate_old_key_dead_on_every_path;
    RotateMovesMarkers: rotate_marker_there_gone;
    RotateComparesNothing: rotate_other_version_conflict race_rotate_against_save_one_wins;
    RotateReplacesTheNewKey: rotate_new_key_taken_already_exists;
    RotateTakesAnySize: rotate_payload_too_large_unchanged;
    RotateLosesTheOwner: rotate_live_listed_once rotate_live_moves_to_new_key;

    LimitsAllowOneMore: limit_per_owner_on_create_exact limit_per_scope_on_create_exact
        limit_on_update_that_changes_owner_held limit_on_rotate_to_full_owner_held
        owner_similar_to_another_has_own_limit;
    LimitsCountAllScopes: limit_in_one_scope_others_independent;
    LimitsCountTheDead: limit_expired_and_markers_uncounted;
    LimitsOnCreateOnly: limit_on_update_that_changes_owner_held race_logins_within_limit_exact;
    LimitsOnEveryUpdate: limit_on_update_that_keeps_owner_passes;
    LimitsCountTheRotated: limit_on_rotate_itself_uncounted;
    LimitsNotOnRotate: limit_on_rotate_to_full_owner_held race_logins_within_limit_exact;
    LimitsIgnoreCase: owner_similar_to_another_has_own_limit;
    LimitsCheckThenAct: race_creates_within_limit_exact race_logins_within_limit_exact;
    LimitsLeakPlaces: cancel_limited_create_takes_no_place;

    RemoveAlwaysSaysYes: remove_live_true_then_false remove_nothing_there_false remove_expired_false
        remove_marker_there_stays;
    RemoveAlwaysSaysNo: remove_live_true_then_false remove_one_of_many_others_stay;
    RemoveOnlySaysSo: remove_live_true_then_false remove_then_store_starts_afresh cancel_remove_old_or_new;
    RemoveTakesMarkers: remove_marker_there_stays;
    RemoveIgnoresScopes: remove_one_of_many_others_stay key_in_two_scopes_two_records;
    RemoveForgetsTheIndex: remove_then_store_starts_afresh;
    RemoveAllIgnoresTheException: remove_all_except_keeps_that_one
        race_revoke_others_against_create_and_rotate_none_escapes;
    RemoveAllIgnoresScopes: remove_all_of_owner_others_stay remove_all_of_scope_others_stay;
    RemoveAllIgnoresOwners: remove_all_of_owner_others_stay;
    RemoveAllEndsAfterOneBatch: remove_all_many_every_one;
    RemoveAllTakesMarkers: remove_all_live_only;
    SweepMiscounts: sweep_expired_in_batches_counted;
    SweepIgnoresTheLimit: sweep_expired_in_batches_counted;
    SweepStopsAfterOneBatch: sweep_many_every_one;
    SweepTakesWhatEndsSoon: sweep_live_stays;
    SweepTrustsTheFirstEnd: sweep_extended_stays;
    TouchDoesNotReachTheSweep: sweep_extended_stays;

    ScanSkipsAtPageEnds: scan_in_pages_complete_without_duplicates;
    ScanRepeatsAtPageEnds: scan_in_pages_complete_without_duplicates scan_filtered_exactly_the_matching;
    ScanCountsOffsets: scan_while_written_complete_without_duplicates;
    ScanAlwaysGivesPayloads: scan_payload_only_when_asked_for;
    ScanIgnoresTheException: scan_filtered_exactly_the_matching;
    CountIgnoresOwners: scan_filtered_exactly_the_matching;
    CountTakesMarkers: scan_live_only;
    CountNeverFalls: count_through_a_life_follows;
    CountTakesPrefixesOfScopes: scope_similar_to_another_told_apart;
    CountIgnoresCase: owner_similar_to_another_told_apart;
    CountTakesPatterns: owner_similar_to_another_told_apart;

    EmptyPayloadBecomesAnObject: payload_empty_or_tiny_round_trips;
    PayloadIsText: payload_every_byte_value_round_trips;
    PayloadIsUnescaped: payload_tricky_text_round_trips;
    PayloadIsTruncated: payload_large_round_trips;
    MaximumIsTooLarge: payload_of_maximum_round_trips;
    TooLargeIsStored: payload_over_maximum_too_large;

    IgnoresScopes: key_in_two_scopes_two_records scope_similar_to_another_told_apart;
    IdsIgnoreCase: id_similar_to_another_told_apart;
    CloneStartsEmpty: clone_of_backend_shares_state;

    WriteChecksThenActs: race_updates_of_one_version_one_wins race_creates_of_one_key_one_wins
        race_logout_against_save_nothing_lives session_fields_and_counter_nothing_lost
        session_logout_against_save_nothing_lives;
    TouchReadsThenWrites: race_logout_against_touch_nothing_lives;
    TouchInTwoSteps: cancel_touch_old_or_new;
    WriteInTwoSteps: cancel_create_old_or_new cancel_update_old_or_new cancel_overwrite_old_or_new
        race_read_against_updates_whole_records;
    WriteDeletesFirst: cancel_overwrite_old_or_new;
    RotateInTwoSteps: cancel_rotate_old_or_new race_read_against_rotations_one_step
        race_rotate_against_save_one_wins race_rotations_of_one_session_one_wins
        race_logout_against_rotate_nothing_lives race_logout_against_rotations_catches_up
        session_logout_against_cycle_nothing_lives;
    RemoveInTwoSteps: cancel_remove_old_or_new cancel_remove_all_each_whole_or_gone;
    RemoveAllListsThenRemoves: race_revoke_all_against_create_and_rotate_none_escapes
        race_revoke_others_against_create_and_rotate_none_escapes race_remove_scope_against_rotate_none_escapes;
    SweepListsThenDeletes: race_sweep_against_create_new_record_stays cancel_sweep_live_stays;
    ReadLeavesItsAnswer: cancel_read_store_usable;
    ScanKeepsItsConnection: cancel_scan_store_usable;

    NotEnumerableInSilence: scan_live_only remove_all_live_only;
    NoLimitsInSilence: limit_per_owner_on_create_exact race_creates_within_limit_exact;
    NotRevocableInSilence: remove_live_true_then_false;
    NoScopesInSilence: scope_similar_to_another_told_apart key_in_two_scopes_two_records;
    NotVersionedInSilence: update_other_version_conflict;
}

#[test]
fn cases_every_one_rejects_a_broken_backend() {
    let stores = REJECTED.iter().flat_map(|(_, cases)| cases.iter().copied());
    let rejecting: BTreeSet<&str> =
        stores.chain(crate::sealed::REJECTED.iter().map(|(_, case)| *case)).collect();
    let listed: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(listed.len(), CASES.len(), "a name is listed twice");
    let untested: Vec<_> = listed.difference(&rejecting).collect();
    assert!(untested.is_empty(), "no broken backend shows that these cases can fail: {untested:?}");
}

#[test]
fn clauses_every_testable_one_has_a_case() {
    let clauses: BTreeSet<u8> = CASES.iter().map(|case| case.clause).collect();
    // 9, a server that cannot be reached, is for each backend's own tests.
    assert_eq!(clauses, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11].into());
}

cloakroom_testkit::conformance!(refuses_aloud, |clock| async move {
    Broken::new(broken::RefusesAloud::default(), clock)
});
