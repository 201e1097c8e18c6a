use crate::suite::{Case, Need};

/// Hands the list of cases to a macro: `name clause [needs]`. It is the one list; tests, [`CASES`] and the self-test
/// are made from it.
#[doc(hidden)]
#[macro_export]
macro_rules! __cloakroom_cases {
    ([$($callback:tt)*]) => {
        $($callback)*! {
            read_never_issued_nothing 1 []
            read_after_write_every_field 1 []
            read_at_its_end_nothing 1 []
            read_expired_at_birth_nothing 1 []
            read_expired_nothing_whatever_was_swept 1 []
            read_without_end_found_for_ever 1 []
            read_marker_found_until_its_end 1 [Stored]
            read_id_as_key_nothing 11 [Stored]
            address_of_key_reaches_the_record 11 [Stored Revocable]
            key_of_name_reaches_its_record 11 [Stored]
            key_returned_is_the_given_one_unscoped 1 [Stored Versioned]
            version_of_any_size_round_trips 1 []
            state_of_any_kind_round_trips 1 [Stored]

            create_live_there_already_exists 2 [Stored]
            create_marker_there_already_exists 2 [Stored]
            create_expired_there_replaces 2 [Stored]
            overwrite_anything_there_replaces 2 [Stored]
            overwrite_ended_buries 2 [Stored Revocable]
            newer_nothing_there_stores 2 [Stored]
            newer_older_there_replaces 2 [Stored]
            newer_same_version_there_done_already 2 [Stored]
            newer_later_there_conflict 2 [Stored]
            newer_ended_there_conflict 2 [Stored]
            write_with_hot_ttl_same_result 2 []

            update_same_version_replaces_every_field 3 []
            update_to_same_version_replaces 3 []
            update_nothing_there_gone 3 [Stored Versioned]
            update_removed_gone 3 [Stored Revocable Versioned]
            update_expired_gone 3 [Stored Versioned]
            update_marker_there_gone 3 [Stored Versioned]
            update_other_version_conflict 3 [Stored Versioned]
            update_to_lower_version_replaces 3 [Stored Versioned]
            update_to_expired_or_marker_ends 3 [Stored Versioned]

            touch_same_version_extends_only 3 []
            touch_earlier_end_kept 3 [Stored]
            touch_other_version_unchanged 3 [Stored]
            touch_nothing_there_none 3 [Stored Revocable]
            touch_expired_none 3 []
            touch_marker_none 3 [Stored]

            rotate_live_moves_to_new_key 4 [Stored Versioned]
            rotate_without_trail_leaves_nothing 4 [Stored Versioned]
            rotate_old_key_dead_on_every_path 4 [Stored Revocable Versioned]
            rotate_trail_ends_in_time 4 [Stored Versioned]
            rotate_nothing_there_gone 4 [Stored Revocable Versioned]
            rotate_marker_there_gone 4 [Stored Versioned]
            rotate_other_version_conflict 4 [Stored Versioned]
            rotate_new_key_taken_already_exists 4 [Stored Versioned]
            rotate_new_key_expired_replaces 4 [Stored Versioned]
            rotate_payload_too_large_unchanged 7 [Stored Versioned]
            rotate_live_listed_once 4 [Stored Versioned Enumerable]
            rotate_twice_then_logout_by_trail_ends 4 [Stored Revocable Versioned]

            limit_per_owner_on_create_exact 5 [Stored Revocable Limits]
            limit_per_scope_on_create_exact 5 [Stored Revocable Limits]
            limit_in_one_scope_others_independent 5 [Stored Limits Scopes]
            limit_expired_and_markers_uncounted 5 [Stored Revocable Enumerable Limits]
            limit_on_update_that_changes_owner_held 5 [Stored Revocable Versioned Limits]
            limit_on_update_that_keeps_owner_passes 5 [Stored Versioned Limits]
            limit_on_rotate_itself_uncounted 5 [Stored Versioned Enumerable Limits]
            limit_on_rotate_to_full_owner_held 5 [Stored Versioned Limits]

            remove_live_true_then_false 6 [Revocable]
            remove_nothing_there_false 6 [Revocable Stored]
            remove_expired_false 6 [Revocable]
            remove_marker_there_stays 6 [Revocable Stored]
            remove_one_of_many_others_stay 6 [Revocable Stored]
            remove_then_store_starts_afresh 6 [Revocable Stored]
            remove_all_of_owner_others_stay 6 [Enumerable Revocable]
            remove_all_except_keeps_that_one 6 [Enumerable Revocable]
            remove_all_of_scope_others_stay 6 [Enumerable Revocable Scopes]
            remove_all_live_only 6 [Enumerable Revocable]
            remove_all_many_every_one 6 [Enumerable Revocable]
            sweep_expired_in_batches_counted 6 [Stored]
            sweep_live_stays 6 [Stored]
            sweep_extended_stays 6 [Stored Versioned]
            sweep_many_every_one 6 [Stored]
            scan_in_pages_complete_without_duplicates 6 [Enumerable]
            scan_while_written_complete_without_duplicates 6 [Enumerable Revocable Versioned]
            scan_payload_only_when_asked_for 6 [Enumerable]
            scan_filtered_exactly_the_matching 6 [Enumerable]
            scan_live_only 6 [Enumerable]
            count_through_a_life_follows 6 [Enumerable Revocable Versioned]

            payload_empty_or_tiny_round_trips 7 []
            payload_every_byte_value_round_trips 7 []
            payload_tricky_text_round_trips 7 []
            payload_large_round_trips 7 []
            payload_of_maximum_round_trips 7 []
            payload_over_maximum_too_large 7 []

            time_of_any_kind_to_the_millisecond 8 []
            time_of_end_compared_as_a_number 8 []
            time_stepping_back_ends_as_promised 8 []
            time_from_the_given_clock_everywhere 8 [Stored Revocable]

            sealed_text_changed_nothing 1 [Sealed]
            sealed_update_and_touch_keep_the_id 3 [Sealed]
            sealed_rotate_takes_the_new_id 4 [Sealed]
            sealed_removed_every_text_dead 6 [Sealed Revocable]

            owner_similar_to_another_told_apart 11 [Enumerable Revocable]
            owner_similar_to_another_has_own_limit 11 [Stored Limits]
            scope_similar_to_another_told_apart 11 [Enumerable Revocable Scopes]
            key_in_two_scopes_two_records 11 [Revocable Versioned Scopes]
            id_similar_to_another_told_apart 11 [Stored Revocable]
            clone_of_backend_shares_state 10 []

            race_updates_of_one_version_one_wins 5 [Stored Versioned]
            race_creates_of_one_key_one_wins 2 [Stored]
            race_creates_within_limit_exact 5 [Stored Enumerable Limits]
            race_logins_within_limit_exact 5 [Stored Enumerable Limits Versioned]
            race_logout_against_save_nothing_lives 2 [Stored Revocable Versioned]
            race_logout_against_touch_nothing_lives 3 [Stored Revocable]
            race_logout_against_rotate_nothing_lives 4 [Stored Revocable Versioned]
            race_logout_against_rotations_catches_up 4 [Stored Revocable Versioned]
            race_rotate_against_save_one_wins 4 [Stored Versioned]
            race_rotations_of_one_session_one_wins 4 [Stored Versioned]
            race_read_against_updates_whole_records 1 [Stored Versioned]
            race_read_against_rotations_one_step 4 [Stored Versioned]
            race_sweep_against_create_new_record_stays 6 [Stored Revocable]
            race_revoke_all_against_create_and_rotate_none_escapes 6 [Stored Revocable Enumerable Versioned]
            race_revoke_others_against_create_and_rotate_none_escapes 6 [Stored Revocable Enumerable Versioned]
            race_remove_scope_against_rotate_none_escapes 6 [Stored Revocable Enumerable Versioned]

            cancel_create_old_or_new 2 [Stored Versioned]
            cancel_update_old_or_new 2 [Stored Versioned]
            cancel_overwrite_old_or_new 2 [Stored Versioned]
            cancel_limited_create_takes_no_place 5 [Stored Revocable Limits]
            cancel_rotate_old_or_new 4 [Stored Versioned]
            cancel_touch_old_or_new 3 [Stored Versioned]
            cancel_remove_old_or_new 6 [Stored Revocable Versioned]
            cancel_remove_all_each_whole_or_gone 6 [Stored Revocable Enumerable]
            cancel_sweep_live_stays 6 [Stored Revocable]
            cancel_read_store_usable 1 [Stored Versioned]
            cancel_scan_store_usable 6 [Stored Enumerable Versioned]

            model_random_sequences_agree 2 [Stored Revocable Versioned]

            session_fields_and_counter_nothing_lost 5 [Stored Versioned]
            session_logout_against_save_nothing_lives 2 [Stored Revocable Versioned]
            session_logout_against_cycle_nothing_lives 4 [Stored Revocable Versioned]
            session_logout_after_two_cycles_ends 4 [Stored Revocable Versioned]
        }
    };
}

macro_rules! table {
    ($($name:ident $clause:literal [$($need:ident)*])*) => {
        /// Every case of the suite.
        pub const CASES: &[Case] = &[
            $(Case {
                name: stringify!($name),
                clause: $clause,
                needs: &[$(Need::$need),*],
                body: |subject| Box::pin(crate::cases::$name(subject)),
            },)*
        ];
    };
}

__cloakroom_cases! { [table] }
