//! How etcd is: asked of each member for itself.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Client, StatusResponse};
use tokio::task::JoinSet;

use super::{Etcd, header_revision, options};
use crate::{Member, Status, StoreError};

/// Asks all members at the same time. Members that do not answer are part of the answer, not an error.
pub(super) async fn status(store: &Etcd) -> Result<Status, StoreError> {
    let mut asked = JoinSet::new();
    for (nth, endpoint) in store.settings.endpoints.iter().cloned().enumerate() {
        let store = store.clone();
        asked.spawn(async move { (nth, ask(&store, endpoint).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(nth, _)| *nth);
    let mut status = Status { kind: "etcd", quota_bytes: store.settings.quota_bytes, ..Status::default() };
    for (_, (member, answer)) in answers {
        if let Some(answer) = &answer {
            add(&mut status, answer);
        }
        status.members.push(member);
    }
    if status.members.iter().all(|member| member.error.is_some()) {
        let reasons = status.members.iter().filter_map(|member| member.error.clone());
        return Err(StoreError::unavailable(reasons.collect::<Vec<_>>().join("; ")));
    }
    status.alarms.extend(alarms(store).await?);
    status.alarms.sort();
    status.alarms.dedup();
    Ok(status)
}

fn add(status: &mut Status, answer: &StatusResponse) {
    let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
    status.revision = status.revision.max(header_revision(answer.header()));
    status.cluster = status.cluster.or_else(|| answer.header().map(|header| header.cluster_id()));
    status.size_bytes = status.size_bytes.max(bytes(answer.db_size()));
    status.used_bytes = status.used_bytes.max(bytes(answer.raft_used_db_size()));
    let said = bytes(answer.db_size_quota());
    status.quota_bytes = if said > 0 { Some(said) } else { status.quota_bytes };
    status.alarms.extend(answer.errors().iter().cloned());
}

async fn ask(store: &Etcd, endpoint: String) -> (Member, Option<StatusResponse>) {
    let request = async {
        let mut client = Client::connect([&endpoint], Some(options(&store.settings))).await?;
        let status = client.status().await?;
        let names = client.member_list().await?;
        let id = status.header().map_or(0, |header| header.member_id());
        let name = names.members().iter().find(|member| member.id() == id).map(|member| member.name().to_owned());
        Ok::<_, etcd_client::Error>((status, id, name))
    };
    let answer = tokio::time::timeout(ANSWER_MAX.min(store.settings.timeout), request).await;
    let mut member = Member { name: endpoint.clone(), endpoint, ..Member::default() };
    match answer.map_err(|_| StoreError::unavailable("no answer")).and_then(|answer| answer.map_err(super::failure)) {
        Ok((status, id, name)) => {
            member.name = name.filter(|name| !name.is_empty()).unwrap_or(member.name);
            member.version = status.version().to_owned();
            member.is_leader = status.leader() == id;
            member.size_bytes = u64::try_from(status.db_size()).unwrap_or(0);
            (member, Some(status))
        }
        Err(error) => {
            member.error = Some(error.to_string());
            (member, None)
        }
    }
}

async fn alarms(store: &Etcd) -> Result<Vec<String>, StoreError> {
    let mut client = store.client.clone();
    let found = store.timed(async { client.alarm(AlarmAction::Get, AlarmType::None, None).await }).await?;
    let said = found.alarms().iter().map(|alarm| match alarm.alarm() {
        AlarmType::None => format!("member {:x} has an alarm of an unknown kind", alarm.member_id()),
        AlarmType::Nospace => format!("member {:x} has no space left within its quota", alarm.member_id()),
        AlarmType::Corrupt => format!("member {:x} holds other data than the rest", alarm.member_id()),
    });
    Ok(said.collect())
}

const ANSWER_MAX: Duration = Duration::from_secs(2);
