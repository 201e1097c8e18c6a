//! Tenants by request.
