//! System variables: `SELECT @@GLOBAL.x`, `SET GLOBAL x = y`.

use super::data::Refusal;
use super::server::Server;

fn unknown(name: &str) -> Refusal {
    (1193, format!("Unknown system variable '{name}'"))
}

/// The values of some.
pub(super) fn get(server: &Server, names: &[String]) -> Result<Vec<String>, Refusal> {
    let state = server.state.borrow();
    let on = |on: bool| if on { "1" } else { "0" }.to_owned();
    let semi_sync = &state.semi_sync;
    names
        .iter()
        .map(|name| match name.as_str() {
            "gtid_executed" => Ok(state.executed.to_string()),
            "gtid_purged" => Ok(state.purged.to_string()),
            "server_uuid" => Ok(state.uuid.clone()),
            "super_read_only" => Ok(on(state.super_read_only)),
            "rpl_semi_sync_slave_enabled" => Ok(on(state.acknowledges)),
            "rpl_semi_sync_master_enabled" => Ok(on(semi_sync.is_enabled())),
            "rpl_semi_sync_master_status" => Ok(on(semi_sync.is_on())),
            "rpl_semi_sync_master_timeout" => Ok(semi_sync.timeout_ms().to_string()),
            "rpl_semi_sync_master_wait_for_slave_count" => Ok(semi_sync.wait_for().to_string()),
            other => Err(unknown(other)),
        })
        .collect()
}

/// Sets one.
pub(super) fn set(server: &Server, name: &str, value: &str) -> Result<(), Refusal> {
    let on = matches!(value.to_ascii_uppercase().as_str(), "ON" | "1");
    let wrong = || (1231, format!("Variable '{name}' can't be set to the value of '{value}'"));
    match name {
        "super_read_only" => {
            server.set_super_read_only(on);
            return Ok(());
        }
        "gtid_purged" => {
            return server.set_purged(value.parse().map_err(|_| wrong())?);
        }
        "rpl_semi_sync_slave_enabled" => {
            server.state.borrow_mut().acknowledges = on;
            return Ok(());
        }
        _ => {}
    }
    let semi_sync = &mut server.state.borrow_mut().semi_sync;
    match name {
        "rpl_semi_sync_master_enabled" => semi_sync.enable(on),
        "rpl_semi_sync_master_timeout" => semi_sync.set_timeout_ms(value.parse().map_err(|_| wrong())?),
        "rpl_semi_sync_master_wait_for_slave_count" => {
            semi_sync.set_wait_for(value.parse().map_err(|_| wrong())?);
        }
        other => return Err(unknown(other)),
    }
    server.changed.notify_waiters();
    Ok(())
}
