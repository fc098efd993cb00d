//! One stream to control: frames in, frames out, and the machine between them.

use std::{sync::Arc, time::Instant};

use sluice_cluster::{Address, Report};
use sluice_discovery::{
    Session, Up,
    wire::{FromControl, FromNode},
};
use sluice_proto::push::v1 as pb;
use sluice_proto_service::push::v1::push_client::PushClient;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, Streaming, codegen::tokio_stream::wrappers::ReceiverStream};
use tracing::info;

use super::{ControlTask, Due, due};
use crate::control::dial::dial;
use crate::control::tables::Judge;
use crate::control::{ReportProvider, TableConsumer};

/// Why there is no stream.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) what: String,
    /// Where to go instead.
    pub(super) leader: Option<Address>,
}

/// What lives as long as one stream.
struct Link {
    session: Session,
    endpoint: Address,
    up: mpsc::Sender<pb::Up>,
    down: Streaming<pb::Down>,
    has_greeted: bool,
    has_registered: bool,
    /// Whether something has come: the endpoint is good.
    has_served: bool,
    /// Whether the transport has no room.
    is_full: bool,
}

/// What a stream waits for.
enum Wake {
    Received(Result<Option<pb::Down>, Status>),
    Room,
    Closed,
    Due(Due),
    Poll,
    Stop,
}

impl<C: TableConsumer, P: ReportProvider> ControlTask<C, P> {
    /// Serves one stream until it is over; `None` = because the task is to stop.
    pub(super) async fn stream(&mut self, endpoint: &Address) -> Option<Trouble> {
        let opened = {
            let mut stop = self.stop.clone();
            let mut opening = std::pin::pin!(open(endpoint.clone(), self.renewer.identity(), self.settings.clone()));
            loop {
                tokio::select! {
                    opened = &mut opening => break opened,
                    _ = stop.wait_for(|stop| *stop) => return None,
                    work = due(&mut self.routes, &mut self.saver, &mut self.renewer) => self.do_due(work, None),
                }
            }
        };
        let (up, down) = match opened {
            Ok(opened) => opened,
            Err(trouble) => return Some(trouble),
        };
        self.sessions += 1;
        let session = Session(self.sessions);
        let mut link = Link {
            session,
            endpoint: endpoint.clone(),
            up,
            down,
            has_greeted: false,
            has_registered: false,
            has_served: false,
            is_full: false,
        };
        self.machine.connected(session, self.began.elapsed());
        let over = self.serve(&mut link).await;
        self.machine.disconnected(session);
        over
    }

    async fn serve(&mut self, link: &mut Link) -> Option<Trouble> {
        loop {
            self.transmit(link);
            if let Some(reason) = self.carry_out() {
                return Some(Trouble { what: reason.to_string(), leader: None });
            }
            match self.wait(link).await {
                Wake::Received(Ok(Some(message))) => {
                    if let Err(what) = self.receive(link, message) {
                        return Some(Trouble { what, leader: None });
                    }
                }
                Wake::Received(Ok(None)) | Wake::Closed => {
                    return Some(Trouble { what: "control has ended the stream".into(), leader: None });
                }
                Wake::Received(Err(status)) => return Some(status.into()),
                Wake::Room => link.is_full = false,
                Wake::Due(work) => self.do_due(work, Some(&link.endpoint)),
                Wake::Poll => self.machine.handle_timeout(self.began.elapsed()),
                Wake::Stop => return None,
            }
        }
    }

    /// Sends while there is room.
    fn transmit(&mut self, link: &mut Link) {
        while !link.is_full {
            let up = link.up.clone();
            let Ok(room) = up.try_reserve() else {
                link.is_full = true;
                return;
            };
            let Some(sent) = self.next_up(link) else { return };
            room.send((&sent).into());
        }
    }

    fn next_up(&mut self, link: &mut Link) -> Option<FromNode> {
        if (!link.has_greeted || link.has_registered)
            && let Some((_, frame)) = self.machine.poll_transmit(self.began.elapsed())
        {
            link.has_greeted |= matches!(frame, Up::Hello { .. });
            return Some(FromNode::Frame(frame));
        }
        if !link.has_registered {
            link.has_registered = true;
            let registration = self.provider.registration();
            self.provider.connected(true);
            return Some(FromNode::Report(Report::Registration(registration)));
        }
        self.provider.poll_report(Instant::now()).map(FromNode::Report)
    }

    async fn wait(&mut self, link: &mut Link) -> Wake {
        let machine = self.machine.poll_timeout().map(|after| self.began + after);
        let poll = [machine, self.provider.poll_timeout()].into_iter().flatten().min();
        let poll = async {
            match poll {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            received = link.down.message() => Wake::Received(received),
            room = link.up.reserve(), if link.is_full => if room.is_ok() { Wake::Room } else { Wake::Closed },
            work = due(&mut self.routes, &mut self.saver, &mut self.renewer) => Wake::Due(work),
            () = self.wake.notified() => Wake::Poll,
            () = poll => Wake::Poll,
            _ = stop.wait_for(|stop| *stop) => Wake::Stop,
        }
    }

    fn receive(&mut self, link: &mut Link, message: pb::Down) -> Result<(), String> {
        let received =
            FromControl::try_from(message).map_err(|error| format!("control sends what cannot be read: {error}"))?;
        if !std::mem::replace(&mut link.has_served, true) {
            self.backoff.succeeded();
            info!(endpoint = %link.endpoint, "connected to control");
            let endpoint = link.endpoint.clone();
            self.status.send_modify(|status| {
                status.connected = Some(endpoint);
                status.trouble = None;
                status.streams += 1;
            });
        }
        match received {
            FromControl::Frame(frame) => {
                let judge = Judge { consumer: &self.consumer, placement: self.current.placement.as_ref() };
                self.machine.handle(link.session, frame, &judge, self.began.elapsed());
            }
            FromControl::Interest(frame) => self.provider.interest(frame, Instant::now()),
        }
        Ok(())
    }
}

type Opened = (mpsc::Sender<pb::Up>, Streaming<pb::Down>);

async fn open(
    endpoint: Address,
    identity: Arc<crate::control::NodeIdentity>,
    settings: crate::control::ControlSettings,
) -> Result<Opened, Trouble> {
    let trouble = |what: String| Trouble { what, leader: None };
    let tls = identity.tls("h2").map_err(|error| trouble(error.to_string()))?;
    let channel = dial(endpoint, Arc::new(tls), settings.connect_max).await;
    let channel = channel.map_err(|error| trouble(error.to_string()))?;
    // The transport takes the next frame when it has sent the last one: one that waits is enough.
    let (up, frames) = mpsc::channel(1);
    let mut client = PushClient::new(channel).max_decoding_message_size(DOWN_BYTES_MAX);
    let answer = timeout(settings.connect_max, client.stream(ReceiverStream::new(frames))).await;
    let down = answer.map_err(|_| trouble("no answer in time".into()))?.map_err(Trouble::from)?;
    Ok((up, down.into_inner()))
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        let leader = status.metadata().get(LEADER).and_then(|leader| leader.to_str().ok()?.parse().ok());
        let what = if status.code() == Code::Unavailable && leader.is_some() {
            "another replica of control leads".into()
        } else {
            format!("{}: {}", status.code().description(), status.message())
        };
        Self { what, leader }
    }
}

/// Where the leader is, in the metadata of a refusal. Part of the protocol.
const LEADER: &str = "sluice-leader";

/// A part of a response has 1 MiB of resources.
const DOWN_BYTES_MAX: usize = 8 << 20;
