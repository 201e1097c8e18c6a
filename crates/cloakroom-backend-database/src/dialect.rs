//! The three dialects as data, and all statements built from them once.

use cloakroom_core::{ErrorKind, Filter, Result, ScopeFilter, SessionError};

use crate::database::{Kind, Statement};
use crate::error::NAME;

/// PostgreSQL allows 63 bytes for the longest name that is derived from the table's.
const MAX_NAME_LENGTH: usize = 48;

/// The kind of SQL a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// SQLite 3.35 and later.
    Sqlite,
    /// PostgreSQL 12 and later.
    Postgres,
    /// MySQL 8.0 and MariaDB 10.6, and later.
    MySql,
}

impl Dialect {
    /// The statement that opens a transaction. Every statement in it must see what others committed before that
    /// statement, which is not everywhere the default; and in SQLite a transaction that may write must say so first.
    #[must_use]
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::MySql => "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION",
        }
    }

    pub(crate) fn syntax(self) -> &'static Syntax {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
            Self::MySql => &MYSQL,
        }
    }
}

/// Where the dialects differ.
pub(crate) struct Syntax {
    pub(crate) quote: char,
    /// `$1` rather than `?`.
    numbered: bool,
    /// `ON CONFLICT … DO UPDATE … WHERE`; else an upsert cannot be conditional.
    conditional_upsert: bool,
    /// Equality that holds between two `NULL`s.
    same: &'static str,
    /// Ends a `SELECT` whose rows must not change before the transaction ends.
    for_update: &'static str,
    /// The state as an eight-byte integer.
    state: &'static str,
    /// Several writers at a time: limits need a lock, and `remove_all` a second look.
    pub(crate) concurrent_writers: bool,
    /// A rotation and its trail in one statement.
    rotate_with_trail: bool,
    /// How to delete no more than so many rows of `{table}` that match `{filter}`, a parameter at the end.
    batch: &'static str,
    sweep: &'static str,
    /// The largest packet, where there is such a bound.
    max_packet: Option<&'static str>,
}

const SQLITE: Syntax = Syntax {
    quote: '"',
    numbered: false,
    conditional_upsert: true,
    same: "IS",
    for_update: "",
    state: "state",
    concurrent_writers: false,
    rotate_with_trail: false,
    batch: "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {filter} LIMIT ?)",
    sweep: "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {filter} ORDER BY expires_at LIMIT ?)",
    max_packet: None,
};

const POSTGRES: Syntax = Syntax {
    quote: '"',
    numbered: true,
    conditional_upsert: true,
    same: "IS NOT DISTINCT FROM",
    for_update: " FOR UPDATE",
    state: "CAST(state AS BIGINT)",
    concurrent_writers: true,
    rotate_with_trail: true,
    batch: "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {filter} LIMIT ?))",
    // Locked rows are being extended, replaced or swept by somebody else: no reason to wait.
    sweep: "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {filter} \
            ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))",
    max_packet: None,
};

const MYSQL: Syntax = Syntax {
    quote: '`',
    numbered: false,
    conditional_upsert: false,
    same: "<=>",
    for_update: " FOR UPDATE",
    state: "state",
    concurrent_writers: true,
    rotate_with_trail: false,
    batch: "DELETE FROM {table} WHERE {filter} LIMIT ?",
    sweep: "DELETE FROM {table} WHERE {filter} ORDER BY expires_at LIMIT ?",
    max_packet: Some("SELECT CAST(@@max_allowed_packet AS SIGNED)"),
};

/// Everything in the order it is inserted in.
const COLUMNS: [&str; 9] =
    ["scope", "id", "state", "version", "owner", "created_at", "accessed_at", "expires_at", "payload"];
/// The columns that hold the record, as they are read.
const RECORD: &[Kind] =
    &[Kind::Integer, Kind::Integer, Kind::Text, Kind::Integer, Kind::Integer, Kind::Integer, Kind::Bytes];
const PROBE: &[Kind] = &[Kind::Integer, Kind::Integer, Kind::Text];
const SCAN: &[Kind] = &[
    Kind::Integer,
    Kind::Integer,
    Kind::Text,
    Kind::Integer,
    Kind::Integer,
    Kind::Integer,
    Kind::Text,
    Kind::Text,
    Kind::Bytes,
];
const NUMBER: &[Kind] = &[Kind::Integer];

const UNEXPIRED: &str = "(expires_at IS NULL OR expires_at > ?)";
const LIVE: &str = "state = 0 AND (expires_at IS NULL OR expires_at > ?)";

/// A table's names, checked and quoted.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) dialect: Dialect,
    pub(crate) plain: String,
    pub(crate) table: String,
    pub(crate) lock: String,
    pub(crate) migration: String,
}

impl Names {
    pub(crate) fn new(dialect: Dialect, table: &str, schema: Option<&str>) -> Result<Self> {
        check_name(table)?;
        if let Some(schema) = schema {
            check_name(schema)?;
            if dialect != Dialect::Postgres {
                return Err(invalid("only PostgreSQL has schemas"));
            }
        }
        let quote = dialect.syntax().quote;
        let schema = schema.map_or_else(String::new, |schema| format!("{quote}{schema}{quote}."));
        let name = |suffix| format!("{schema}{quote}{table}{suffix}{quote}");
        Ok(Self {
            dialect,
            plain: table.to_owned(),
            table: name(""),
            lock: name("_lock"),
            migration: name("_migration"),
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    let start = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !start || !rest || name.len() > MAX_NAME_LENGTH {
        return Err(invalid("a table or schema name is 1 to 48 of A-Z, a-z, 0-9 and _, and no digit first"));
    }
    Ok(())
}

fn invalid(message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, "connect").with_backend(NAME).with_message(message)
}

/// An insert that gives way to what is there already, unless `over` allows to replace it.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) insert: Statement,
    /// Where an upsert cannot be conditional: what to run when the insert meets something.
    pub(crate) over: Option<Statement>,
}

/// All statements of one table.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) read: Statement,
    /// Version, state and owner of what is unexpired there.
    pub(crate) probe: Statement,
    pub(crate) probe_locking: Statement,
    pub(crate) create: Guarded,
    pub(crate) newer: Guarded,
    pub(crate) overwrite: Statement,
    pub(crate) update: Statement,
    pub(crate) update_same_owner: Statement,
    pub(crate) rotate: Statement,
    pub(crate) rotate_with_trail: Option<Statement>,
    pub(crate) remove_expired: Statement,
    pub(crate) touch: Statement,
    pub(crate) remove: Statement,
    pub(crate) sweep: Statement,
    pub(crate) lock: Option<Statement>,
    pub(crate) others_in_scope: Statement,
    pub(crate) others_of_owner: Statement,
    /// The four kinds of filter; see [`index`].
    pub(crate) count: Vec<Statement>,
    pub(crate) any: Vec<Statement>,
    pub(crate) remove_all: Vec<Statement>,
    pub(crate) scan: Vec<Statement>,
    pub(crate) scan_with_payload: Vec<Statement>,
    pub(crate) max_packet: Option<Statement>,
}

/// The row of the lock table that stands for a scope, or for an owner in it. Their number is fixed, so that the table
/// needs no sweeping; two that share a slot wait for each other a little, nothing else.
pub(crate) fn slot(scope: &str, owner: Option<&str>) -> i64 {
    const SLOTS: u64 = 4096;
    let (kind, owner) = owner.map_or((b"s", ""), |owner| (b"o", owner));
    // FNV-1a: every process and every version must arrive at the same number.
    let bytes = kind.iter().chain(scope.as_bytes()).chain(b"\0").chain(owner.as_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % SLOTS) as i64
}

/// Which of the four statements a filter wants: by scope or any, by owner or any.
pub(crate) fn index(filter: &Filter) -> usize {
    usize::from(filter.scope != ScopeFilter::Any) + 2 * usize::from(filter.owner.is_some())
}

impl Statements {
    pub(crate) fn new(names: &Names) -> Self {
        let (syntax, table) = (names.dialect.syntax(), &names.table);
        let select = |what: &str, columns, rest: &str| {
            build(syntax, format!("SELECT {what} FROM {table} WHERE {rest}"), columns)
        };
        let write = |sql: String| build(syntax, sql, &[]);
        let state = syntax.state;
        let (record, key) = (
            format!("{state}, version, owner, created_at, accessed_at, expires_at"),
            format!("scope = ? AND id = ? AND {UNEXPIRED}"),
        );
        let columns = COLUMNS.join(", ");
        let set = COLUMNS[2..].iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(", ");
        let current = "scope = ? AND id = ? AND version = ? AND state = 0";

        let insert = format!("INSERT INTO {table} ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
        let upsert = |condition: &str| {
            let excluded = |column: &&str| format!("{column} = excluded.{column}");
            let set = COLUMNS[2..].iter().map(excluded).collect::<Vec<_>>().join(", ");
            let insert = insert.replace(&format!("{table} ("), &format!("{table} AS stored ("));
            write(format!("{insert} ON CONFLICT (scope, id) DO UPDATE SET {set}{condition}"))
        };
        let guarded = |condition: &str, over: &str| {
            if syntax.conditional_upsert {
                return Guarded { insert: upsert(condition), over: None };
            }
            let over = write(format!("UPDATE {table} SET {set} WHERE scope = ? AND id = ? AND {over}"));
            Guarded { insert: write(insert.clone()), over: Some(over) }
        };
        let overwrite = if syntax.conditional_upsert {
            upsert("")
        } else {
            let values = |column: &&str| format!("{column} = VALUES({column})");
            let set = COLUMNS[2..].iter().map(values).collect::<Vec<_>>().join(", ");
            write(format!("{insert} ON DUPLICATE KEY UPDATE {set}"))
        };

        let move_to = format!("UPDATE {table} SET scope = ?, id = ?, {set} WHERE {current} AND {UNEXPIRED}");
        let rotate_with_trail = syntax.rotate_with_trail.then(|| {
            let types = ["TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BYTEA"];
            let values = types.map(|kind| format!("CAST(? AS {kind})")).join(", ");
            write(format!(
                "WITH moved AS ({move_to} RETURNING 1) INSERT INTO {table} ({columns}) SELECT {values} FROM moved"
            ))
        });

        let lock = syntax.concurrent_writers.then(|| {
            let lock = &names.lock;
            let clause = if syntax.conditional_upsert {
                "ON CONFLICT (slot) DO UPDATE SET slot = excluded.slot"
            } else {
                "ON DUPLICATE KEY UPDATE slot = VALUES(slot)"
            };
            write(format!("INSERT INTO {lock} (slot) VALUES (?) {clause}"))
        });
        let others = |filter: &str| {
            let inner = format!(
                "SELECT 1 AS found FROM {table} WHERE scope = ? AND id <> ? AND {LIVE}{filter} LIMIT ?"
            );
            build(syntax, format!("SELECT COUNT(*) FROM ({inner}) AS others"), NUMBER)
        };

        let filters: Vec<String> = (0..4)
            .map(|index| {
                let scope = if index & 1 == 1 { " AND scope = ?" } else { "" };
                let owner = if index & 2 == 2 { " AND owner = ?" } else { "" };
                format!("{LIVE} AND id <> ?{scope}{owner}")
            })
            .collect();
        let each = |make: &dyn Fn(&str) -> Statement| filters.iter().map(|filter| make(filter)).collect();
        let scan = |payload: &str| {
            let page = |(index, filter): (usize, &String)| {
                let after = if index & 1 == 1 { "id > ?" } else { "scope >= ? AND (scope > ? OR id > ?)" };
                let rest = format!("{filter} AND {after} ORDER BY scope, id LIMIT ?");
                select(&format!("{record}, scope, id{payload}"), scan_columns(payload), &rest)
            };
            filters.iter().enumerate().map(page).collect()
        };
        let delete = |template: &str, filter: &str| {
            write(template.replace("{table}", table).replace("{filter}", filter))
        };

        Self {
            read: select(&format!("{record}, payload"), RECORD, &key),
            probe: select(&format!("version, {state}, owner"), PROBE, &key),
            probe_locking: select(
                &format!("version, {state}, owner"),
                PROBE,
                &format!("{key}{}", syntax.for_update),
            ),
            create: guarded(" WHERE stored.expires_at <= ?", "expires_at <= ?"),
            newer: guarded(
                " WHERE stored.expires_at <= ? OR (stored.version < ? AND stored.state <> 2)",
                "(expires_at <= ? OR (version < ? AND state <> 2))",
            ),
            overwrite,
            update: write(format!("UPDATE {table} SET {set} WHERE {current} AND {UNEXPIRED}")),
            update_same_owner: write(format!(
                "UPDATE {table} SET {set} WHERE {current} AND {UNEXPIRED} AND owner {} ?",
                syntax.same
            )),
            rotate: write(move_to),
            rotate_with_trail,
            remove_expired: write(format!(
                "DELETE FROM {table} WHERE scope = ? AND id = ? AND expires_at <= ?"
            )),
            touch: write(format!(
                "UPDATE {table} SET accessed_at = CASE WHEN accessed_at < ? THEN ? ELSE accessed_at END, \
                 expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END \
                 WHERE {current} AND {UNEXPIRED}"
            )),
            remove: write(format!("DELETE FROM {table} WHERE scope = ? AND id = ? AND {LIVE}")),
            sweep: delete(syntax.sweep, "expires_at <= ?"),
            lock,
            others_in_scope: others(""),
            others_of_owner: others(" AND owner = ?"),
            count: each(&|filter| select("COUNT(*)", NUMBER, filter)),
            any: each(&|filter| select("version", NUMBER, &format!("{filter} LIMIT 1"))),
            remove_all: each(&|filter| delete(syntax.batch, filter)),
            scan: scan(""),
            scan_with_payload: scan(", payload"),
            max_packet: syntax.max_packet.map(|sql| Statement::new(sql.to_owned(), NUMBER)),
        }
    }
}

fn scan_columns(payload: &str) -> &'static [Kind] {
    if payload.is_empty() { &SCAN[..8] } else { SCAN }
}

/// Numbers the placeholders where the dialect wants that. No name and no literal contains a question mark.
fn build(syntax: &Syntax, sql: String, columns: &'static [Kind]) -> Statement {
    if !syntax.numbered {
        return Statement::new(sql, columns);
    }
    let mut numbered = String::with_capacity(sql.len() + 24);
    for (index, part) in sql.split('?').enumerate() {
        if index > 0 {
            numbered.push('$');
            numbered.push_str(&index.to_string());
        }
        numbered.push_str(part);
    }
    Statement::new(numbered, columns)
}
