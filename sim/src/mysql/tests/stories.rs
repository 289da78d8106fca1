//! What goes wrong with databases, each shown to.

use super::*;

fn spec() -> Mysql {
    Mysql { startup: Span::millis(1_000, 1_000), ..Mysql::default() }
}

#[test]
fn a_replica_applies_later_than_it_receives() {
    let spec = Mysql { apply_lag: Span::exactly(Duration::from_secs(5)), ..spec() };
    tell(spec, |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        pause(6_000).await;
        rig.insert(0, 7).await.unwrap();
        pause(1_000).await;
        let uuid = rig.get(0, "SELECT @@GLOBAL.server_uuid").await;
        assert_eq!(rig.status(1, "Retrieved_Gtid_Set").await, format!("{uuid}:1-2"));
        assert_eq!(rig.status(1, "Executed_Gtid_Set").await, format!("{uuid}:1"));
        assert!(!rig.finds(1, 7).await);
        // What is received outlives the server; what waits is applied once it may.
        rig.kill(1).await;
        rig.start(1).await;
        rig.follow(1).await;
        pause(6_000).await;
        assert!(rig.finds(1, 7).await);
        assert_eq!(rig.status(1, "Executed_Gtid_Set").await, format!("{uuid}:1-2"));
    });
}

#[test]
fn another_source_drops_what_was_received_and_not_applied() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        rig.get(1, "STOP SLAVE SQL_THREAD").await;
        rig.insert(0, 7).await.unwrap();
        pause(100).await;
        assert!(rig.status(1, "Retrieved_Gtid_Set").await.ends_with(":1-2"));
        let change = "CHANGE MASTER TO MASTER_HOST = '10.0.0.3', MASTER_USER = 'repl'";
        assert!(rig.query(1, change).await.unwrap_err().starts_with("ERROR 1198"));
        rig.get(1, &format!("STOP SLAVE; {change}; START SLAVE")).await;
        pause(1_000).await;
        assert!(rig.status(1, "Retrieved_Gtid_Set").await.ends_with(":1"));
        assert!(!rig.finds(1, 7).await);
    });
}

#[test]
fn a_source_waits_for_replicas_until_it_gives_up_and_waits_again_when_they_have_caught_up() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        let status = || rig.get(0, "SELECT @@GLOBAL.rpl_semi_sync_master_status");
        let enable =
            "SET GLOBAL rpl_semi_sync_master_timeout = 2000; SET GLOBAL rpl_semi_sync_master_enabled = ON";
        rig.get(0, enable).await;
        // The replica receives, and does not acknowledge.
        let began = rig.recorder.now();
        let (told, (), again) = tokio::join!(
            rig.insert(0, 7),
            async {
                pause(500).await;
                assert!(!rig.finds(0, 7).await, "seen before it was acknowledged");
                assert!(rig.finds(1, 7).await);
            },
            async {
                pause(500).await;
                rig.insert(0, 7).await
            },
        );
        told.unwrap();
        assert!(again.unwrap_err().starts_with("ERROR 1062"), "inserted twice");
        assert!(rig.recorder.now() - began >= Duration::from_secs(2));
        assert_eq!(status().await, "0");
        // It acknowledges from its next connection on.
        rig.get(1, "SET GLOBAL rpl_semi_sync_slave_enabled = ON").await;
        rig.insert(0, 8).await.unwrap();
        assert_eq!(status().await, "0");
        // It lacks nothing then, so that is enough.
        rig.follow(1).await;
        pause(100).await;
        assert_eq!(status().await, "1");
        let began = rig.recorder.now();
        rig.insert(0, 9).await.unwrap();
        assert!(rig.recorder.now() - began < Duration::from_secs(2), "nobody acknowledged");
        // Two replicas are wanted, and there is one.
        rig.get(0, "SET GLOBAL rpl_semi_sync_master_wait_for_slave_count = 2").await;
        let (told, _) = tokio::join!(rig.insert(0, 10), async {
            pause(1_000).await;
            rig.get(0, "SET GLOBAL super_read_only = ON").await
        });
        assert!(told.unwrap_err().starts_with("ERROR 1317"));
        assert!(rig.finds(0, 10).await, "it is committed, though nobody was told");
    });
}

#[test]
fn what_a_replica_has_when_it_connects_counts_as_acknowledged() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        let enable =
            "SET GLOBAL rpl_semi_sync_master_timeout = 600000; SET GLOBAL rpl_semi_sync_master_enabled = ON";
        rig.get(0, enable).await;
        let began = rig.recorder.now();
        let (told, ()) = tokio::join!(rig.insert(0, 7), async {
            pause(1_000).await;
            // Connecting alone says nothing.
            rig.follow(1).await;
            pause(1_000).await;
            assert!(rig.finds(1, 7).await && !rig.finds(0, 7).await);
            rig.get(1, "SET GLOBAL rpl_semi_sync_slave_enabled = ON").await;
            rig.follow(1).await;
        });
        told.unwrap();
        let waited = rig.recorder.now() - began;
        assert!(waited > Duration::from_secs(2) && waited < Duration::from_secs(4), "{waited:?}");
    });
}

#[test]
fn a_replica_that_lacks_what_was_purged_is_refused() {
    tell(Mysql { keep_binlog: 3, ..spec() }, |rig| async move {
        rig.source().await;
        for id in 1..=7 {
            rig.insert(0, id).await.unwrap();
        }
        assert!(rig.get(0, "SELECT @@GLOBAL.gtid_purged").await.ends_with(":1-3"));
        rig.replica(1).await;
        let error = rig.status(1, "Last_IO_Error").await;
        assert!(error.starts_with("ERROR 1236") && error.contains("purged"), "{error}");
        // The tables are what they were, also after a start.
        rig.get(0, "PURGE BINARY LOGS BEFORE NOW()").await;
        rig.kill(0).await;
        rig.start(0).await;
        assert_eq!(rig.get(0, "SELECT COUNT(*) FROM ledger").await, "7");
        assert!(rig.get(0, "SELECT @@GLOBAL.gtid_purged").await.ends_with(":1-8"));
        assert!(rig.get(0, "SELECT @@GLOBAL.gtid_executed").await.ends_with(":1-8"));
    });
}

#[test]
fn a_full_disk_refuses_writes_and_makes_a_replica_wait_for_room() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        rig.machines[0].disk().borrow_mut().set_full(true);
        assert!(rig.insert(0, 7).await.unwrap_err().starts_with("ERROR 1114"));
        let backup = rig.program(0, Command::new("innobackupex").args(["--stream=tar"])).await;
        assert!(!backup.success());
        rig.machines[0].disk().borrow_mut().set_full(false);
        assert!(!rig.finds(0, 7).await);
        rig.machines[1].disk().borrow_mut().set_full(true);
        rig.insert(0, 8).await.unwrap();
        pause(10_000).await;
        assert!(rig.status(1, "Retrieved_Gtid_Set").await.ends_with(":1"));
        rig.machines[1].disk().borrow_mut().set_full(false);
        pause(60_000).await;
        assert!(rig.finds(1, 8).await);
    });
}

#[test]
fn a_failing_disk_ends_the_server_and_a_slow_one_makes_clients_wait() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.machines[0].disk().borrow_mut().set_slow(Some(Duration::from_secs(3)));
        let began = rig.recorder.now();
        rig.insert(0, 7).await.unwrap();
        assert!(rig.recorder.now() - began >= Duration::from_secs(3));
        rig.machines[0].disk().borrow_mut().set_slow(None);
        rig.machines[0].disk().borrow_mut().set_failing(true);
        rig.insert(0, 8).await.unwrap_err();
        assert_eq!(rig.ends(0).await.code, Some(134));
        rig.machines[0].disk().borrow_mut().set_failing(false);
        rig.start(0).await;
        assert!(rig.finds(0, 7).await && !rig.finds(0, 8).await);
    });
}

#[test]
fn a_log_that_lost_its_end_hands_out_the_same_numbers_again() {
    tell(Mysql { sync_binlog: false, ..spec() }, |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        pause(2_000).await;
        rig.insert(0, 7).await.unwrap();
        pause(100).await;
        assert!(rig.finds(1, 7).await);
        rig.kill(0).await;
        rig.machines[0].disk().borrow_mut().lose_unsynced();
        rig.start(0).await;
        // The tables are ahead of the log.
        assert!(rig.finds(0, 7).await);
        assert!(rig.get(0, "SELECT @@GLOBAL.gtid_executed").await.ends_with(":1"));
        pause(2_000).await;
        let error = rig.status(1, "Last_IO_Error").await;
        assert!(error.starts_with("ERROR 1236") && error.contains("more GTIDs"), "{error}");
        // Once the number is used again nobody notices, and the replica never gets the new write.
        rig.insert(0, 8).await.unwrap();
        rig.follow(1).await;
        assert_eq!(rig.status(1, "Last_IO_Error").await, "");
        assert!(!rig.finds(1, 8).await);
        // What was written longer than a second ago is safe.
        pause(2_000).await;
        rig.kill(0).await;
        rig.machines[0].disk().borrow_mut().lose_unsynced();
        rig.start(0).await;
        assert!(rig.get(0, "SELECT @@GLOBAL.gtid_executed").await.ends_with(":1-2"));
    });
}

#[test]
fn a_restored_server_that_is_not_told_what_it_holds_asks_for_it_again() {
    tell(Mysql { restore_sets_gtids: false, ..spec() }, |rig| async move {
        rig.source().await;
        rig.insert(0, 7).await.unwrap();
        rig.restored(1).await;
        rig.start(1).await;
        assert_eq!(rig.get(1, "SELECT @@GLOBAL.gtid_executed").await, "");
        rig.follow(1).await;
        let error = rig.status(1, "Last_SQL_Error").await;
        assert!(error.starts_with("Error 1396"), "{error}");

        rig.restored(2).await;
        rig.start(2).await;
        let info = std::path::Path::new("/var/lib/mysql/xtrabackup_binlog_info");
        let info = rig.machines[2].disk().borrow().read(info).map(<[u8]>::to_vec).unwrap();
        let held = String::from_utf8(info).unwrap().trim_end().split('\t').nth(2).unwrap().to_owned();
        rig.get(2, &format!("SET GLOBAL gtid_purged = '{held}'")).await;
        let again = rig.query(2, &format!("SET GLOBAL gtid_purged = '{held}'")).await;
        assert!(again.unwrap_err().starts_with("ERROR 1840"));
        rig.follow(2).await;
        rig.insert(0, 8).await.unwrap();
        pause(100).await;
        assert!(rig.finds(2, 8).await);
        assert_eq!(rig.status(2, "Last_SQL_Error").await, "");
        rig.kill(2).await;
        rig.start(2).await;
        assert_eq!(rig.get(2, "SELECT @@GLOBAL.gtid_purged").await, held);
    });
}

#[test]
fn what_is_written_to_a_replica_is_its_own() {
    tell(spec(), |rig| async move {
        rig.source().await;
        rig.replica(1).await;
        rig.insert(1, 99).await.unwrap();
        rig.insert(0, 7).await.unwrap();
        pause(100).await;
        let errant = rig.get(1, "SELECT @@GLOBAL.server_uuid").await;
        assert!(rig.get(1, "SELECT @@GLOBAL.gtid_executed").await.contains(&format!("{errant}:1")));
        assert!(rig.finds(1, 7).await);
        // The same key from the source stops it.
        rig.insert(0, 99).await.unwrap();
        pause(100).await;
        assert!(rig.status(1, "Last_SQL_Error").await.starts_with("Error 1062"));
        assert_eq!(rig.status(1, "Slave_SQL_Running").await, "No");
    });
}

#[test]
fn recovery_takes_as_long_as_there_is_to_look_at() {
    let spec = Mysql { recovery: Span::millis(1_000, 1_000), checkpoint: 5, ..spec() };
    tell(spec, |rig| async move {
        rig.source().await;
        for id in 1..=3 {
            rig.insert(0, id).await.unwrap();
        }
        rig.kill(0).await;
        let took = rig.start(0).await.as_secs();
        assert_eq!(took, 1 + 4);
        // A checkpoint at the fifth, one after it.
        for id in 4..=5 {
            rig.insert(0, id).await.unwrap();
        }
        rig.kill(0).await;
        assert_eq!(rig.start(0).await.as_secs(), 1 + 1);
        assert!(rig.stop(0).await.success());
        assert_eq!(rig.start(0).await.as_secs(), 1);
        assert_eq!(rig.get(0, "SELECT COUNT(*) FROM ledger").await, "5");
    });
}
