#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod builder;
mod database;
mod dialect;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod driver;
mod error;
mod row;
mod schema;
mod write;

pub use backend::DatabaseSessionBackend;
pub use builder::DatabaseBuilder;
pub use database::{
    DatabaseError, DatabaseTransaction, Failure, Kind, Row, SessionDatabase, Statement, Value,
};
pub use dialect::Dialect;
pub use schema::schema_sql;
