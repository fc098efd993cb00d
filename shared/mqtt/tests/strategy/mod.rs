//! Any packet of any version, owned, for property tests.

#![allow(clippy::wildcard_enum_match_arm, reason = "the packets are dealt out over a few functions")]

use proptest::{collection::vec, option, prelude::*, sample::select};
use sluice_mqtt::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect, DisconnectProperties, Packet,
    Publish, PublishProperties, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter,
    SubscriptionOptions, UnsubAck, Unsubscribe, UserProperties, Version, Will, WillProperties,
};

type Pairs = Vec<(String, String)>;
type Text = Option<String>;

/// QoS, retain, topic, payload, delay and the rest of a will.
type OwnedWill = (QoS, bool, String, Vec<u8>, Option<u32>, Message);

/// Session Expiry, Receive Maximum, Maximum Packet Size, Topic Alias Maximum, and the two requests.
type ConnectNumbers = (Option<u32>, Option<u16>, Option<u32>, Option<u16>, Option<bool>, Option<bool>);

/// Session Expiry, Receive Maximum, QoS 1 or 0, Maximum Packet Size, Topic Alias Maximum, Server Keep Alive.
type ConnAckNumbers = (Option<u32>, Option<u16>, Option<bool>, Option<u32>, Option<u16>, Option<u16>);

/// A packet that owns what it is made of.
#[derive(Clone, Debug)]
pub(crate) enum OwnedPacket {
    Connect(Box<OwnedConnect>),
    ConnAck(bool, ReasonCode, Box<OwnedConnAck>),
    Publish(Box<OwnedPublish>),
    Ack(u8, u16, ReasonCode, Text, Pairs),
    Subscribe(u16, Option<u32>, Pairs, Vec<(String, SubscriptionOptions)>),
    SubAck(u16, Vec<ReasonCode>, Text, Pairs),
    Unsubscribe(u16, Pairs, Vec<String>),
    UnsubAck(u16, Vec<ReasonCode>, Text, Pairs),
    PingReq,
    PingResp,
    Disconnect(ReasonCode, Option<u32>, Text, Pairs, Text),
    Auth(ReasonCode, String, Option<Vec<u8>>, Text, Pairs),
}

#[derive(Clone, Debug)]
pub(crate) struct OwnedConnect {
    version: Version,
    bridge: bool,
    clean_start: bool,
    keep_alive: u16,
    client_id: String,
    will: Option<OwnedWill>,
    username: Text,
    password: Option<Vec<u8>>,
    numbers: ConnectNumbers,
    pairs: Pairs,
    auth: Option<(String, Option<Vec<u8>>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct OwnedConnAck {
    numbers: ConnAckNumbers,
    flags: (Option<bool>, Option<bool>, Option<bool>, Option<bool>),
    texts: (Text, Text, Text, Text),
    pairs: Pairs,
    auth: Option<(String, Option<Vec<u8>>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct OwnedPublish {
    dup: bool,
    qos: QoS,
    retain: bool,
    topic: String,
    packet_id: u16,
    alias: Option<u16>,
    message: Message,
    subscription_ids: Vec<u32>,
    payload: Vec<u8>,
}

/// What wills and PUBLISH have in common.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    payload_format: Option<u8>,
    expiry: Option<u32>,
    content_type: Text,
    response_topic: Text,
    correlation_data: Option<Vec<u8>>,
    pairs: Pairs,
}

fn borrowed_pairs(pairs: &Pairs) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl OwnedPacket {
    /// Calls `f` with the packet as the codec has it.
    pub(crate) fn with_borrowed<R>(&self, f: impl FnOnce(&Packet<'_>) -> R) -> R {
        match self {
            Self::Connect(connect) => connect.with_borrowed(|c| f(&Packet::Connect(c))),
            Self::ConnAck(session_present, reason, properties) => properties.with_borrowed(|properties| {
                f(&Packet::ConnAck(ConnAck { session_present: *session_present, reason: *reason, properties }))
            }),
            Self::Publish(publish) => publish.with_borrowed(|p| f(&Packet::Publish(p))),
            Self::PingReq => f(&Packet::PingReq),
            Self::PingResp => f(&Packet::PingResp),
            Self::Disconnect(..) | Self::Auth(..) => self.with_end_borrowed(f),
            Self::Ack(..) | Self::SubAck(..) | Self::UnsubAck(..) => self.with_answer_borrowed(f),
            Self::Subscribe(..) | Self::Unsubscribe(..) => self.with_filters_borrowed(f),
        }
    }

    fn with_answer_borrowed<R>(&self, f: impl FnOnce(&Packet<'_>) -> R) -> R {
        match self {
            Self::Ack(kind, packet_id, reason, text, pairs) => {
                let pairs = borrowed_pairs(pairs);
                let mut ack = Ack::new(*packet_id, *reason);
                ack.reason_string = text.as_deref();
                ack.user_properties = pairs.as_slice().into();
                f(&match kind {
                    4 => Packet::PubAck(ack),
                    5 => Packet::PubRec(ack),
                    6 => Packet::PubRel(ack),
                    _ => Packet::PubComp(ack),
                })
            }
            Self::SubAck(packet_id, reasons, text, pairs) => {
                let pairs = borrowed_pairs(pairs);
                let mut suback = SubAck::new(*packet_id, reasons);
                suback.reason_string = text.as_deref();
                suback.user_properties = pairs.as_slice().into();
                f(&Packet::SubAck(suback))
            }
            Self::UnsubAck(packet_id, reasons, text, pairs) => {
                let pairs = borrowed_pairs(pairs);
                let mut unsuback = UnsubAck::new(*packet_id, reasons);
                unsuback.reason_string = text.as_deref();
                unsuback.user_properties = pairs.as_slice().into();
                f(&Packet::UnsubAck(unsuback))
            }
            _ => unreachable!("another function's packet"),
        }
    }

    fn with_filters_borrowed<R>(&self, f: impl FnOnce(&Packet<'_>) -> R) -> R {
        match self {
            Self::Subscribe(packet_id, subscription_id, pairs, filters) => {
                let pairs = borrowed_pairs(pairs);
                let list: Vec<_> =
                    filters.iter().map(|(filter, options)| SubscribeFilter { filter, options: *options }).collect();
                f(&Packet::Subscribe(Subscribe {
                    packet_id: *packet_id,
                    subscription_id: *subscription_id,
                    user_properties: pairs.as_slice().into(),
                    filters: list.as_slice().into(),
                }))
            }
            Self::Unsubscribe(packet_id, pairs, filters) => {
                let pairs = borrowed_pairs(pairs);
                let list: Vec<&str> = filters.iter().map(String::as_str).collect();
                f(&Packet::Unsubscribe(Unsubscribe {
                    packet_id: *packet_id,
                    user_properties: pairs.as_slice().into(),
                    filters: list.as_slice().into(),
                }))
            }
            _ => unreachable!("another function's packet"),
        }
    }

    fn with_end_borrowed<R>(&self, f: impl FnOnce(&Packet<'_>) -> R) -> R {
        match self {
            Self::Disconnect(reason, session_expiry, text, pairs, server_reference) => {
                let pairs = borrowed_pairs(pairs);
                let properties = DisconnectProperties {
                    session_expiry: *session_expiry,
                    reason_string: text.as_deref(),
                    user_properties: pairs.as_slice().into(),
                    server_reference: server_reference.as_deref(),
                };
                f(&Packet::Disconnect(Disconnect { reason: *reason, properties }))
            }
            Self::Auth(reason, method, data, text, pairs) => {
                let pairs = borrowed_pairs(pairs);
                f(&Packet::Auth(Auth {
                    reason: *reason,
                    method: Some(method),
                    data: data.as_deref(),
                    reason_string: text.as_deref(),
                    user_properties: pairs.as_slice().into(),
                }))
            }
            _ => unreachable!("another function's packet"),
        }
    }
}

impl OwnedConnect {
    fn with_borrowed<R>(&self, f: impl FnOnce(Connect<'_>) -> R) -> R {
        let pairs = borrowed_pairs(&self.pairs);
        let will_pairs = self.will.as_ref().map(|will| borrowed_pairs(&will.5)).unwrap_or_default();
        let will = self.will.as_ref().map(|(qos, retain, topic, payload, delay, message)| Will {
            qos: *qos,
            retain: *retain,
            topic,
            payload,
            properties: WillProperties {
                delay: *delay,
                payload_format: message.payload_format,
                message_expiry: message.expiry,
                content_type: message.content_type.as_deref(),
                response_topic: message.response_topic.as_deref(),
                correlation_data: message.correlation_data.as_deref(),
                user_properties: will_pairs.as_slice().into(),
                raw: &[],
            },
        });
        let numbers = self.numbers;
        f(Connect {
            version: self.version,
            bridge: self.bridge,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will,
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            properties: ConnectProperties {
                session_expiry: numbers.0,
                receive_maximum: numbers.1,
                maximum_packet_size: numbers.2,
                topic_alias_maximum: numbers.3,
                request_response_information: numbers.4,
                request_problem_information: numbers.5,
                user_properties: pairs.as_slice().into(),
                auth_method: self.auth.as_ref().map(|(method, _)| method.as_str()),
                auth_data: self.auth.as_ref().and_then(|(_, data)| data.as_deref()),
            },
        })
    }
}

impl std::ops::Deref for Message {
    type Target = Pairs;

    fn deref(&self) -> &Pairs {
        &self.pairs
    }
}

impl OwnedConnAck {
    fn with_borrowed<R>(&self, f: impl FnOnce(ConnAckProperties<'_>) -> R) -> R {
        let pairs = borrowed_pairs(&self.pairs);
        let (session_expiry, receive_maximum, qos_1, maximum_packet_size, topic_alias_maximum, server_keep_alive) =
            self.numbers;
        f(ConnAckProperties {
            session_expiry,
            receive_maximum,
            maximum_qos: qos_1.map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
            retain_available: self.flags.0,
            maximum_packet_size,
            assigned_client_id: self.texts.0.as_deref(),
            topic_alias_maximum,
            reason_string: self.texts.1.as_deref(),
            user_properties: pairs.as_slice().into(),
            wildcard_subscriptions_available: self.flags.1,
            subscription_ids_available: self.flags.2,
            shared_subscriptions_available: self.flags.3,
            server_keep_alive,
            response_information: self.texts.2.as_deref(),
            server_reference: self.texts.3.as_deref(),
            auth_method: self.auth.as_ref().map(|(method, _)| method.as_str()),
            auth_data: self.auth.as_ref().and_then(|(_, data)| data.as_deref()),
        })
    }
}

impl OwnedPublish {
    fn with_borrowed<R>(&self, f: impl FnOnce(Publish<'_>) -> R) -> R {
        let pairs = borrowed_pairs(&self.message);
        f(Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            properties: PublishProperties {
                payload_format: self.message.payload_format,
                message_expiry: self.message.expiry,
                topic_alias: self.alias,
                response_topic: self.message.response_topic.as_deref(),
                correlation_data: self.message.correlation_data.as_deref(),
                content_type: self.message.content_type.as_deref(),
                user_properties: UserProperties::from(pairs.as_slice()),
                subscription_ids: self.subscription_ids.as_slice().into(),
                raw: &[],
            },
            payload: &self.payload,
        })
    }
}

pub(crate) fn any_version() -> impl Strategy<Value = Version> {
    select(vec![Version::V31, Version::V311, Version::V5])
}

/// Any packet, and a version that has it.
pub(crate) fn any_packet() -> impl Strategy<Value = (Version, OwnedPacket)> {
    any_version().prop_flat_map(|version| (Just(version), packet_of(version)))
}

fn packet_of(version: Version) -> BoxedStrategy<OwnedPacket> {
    let of_all_versions = prop_oneof![
        1 => connect(version),
        1 => connack(version),
        4 => publish(version),
        4 => ack(version),
        1 => subscribe(version),
        1 => suback(version),
        1 => unsubscribe(version),
        1 => unsuback(version),
        1 => Just(OwnedPacket::PingReq),
        1 => Just(OwnedPacket::PingResp),
        1 => disconnect(version),
    ];
    if version == Version::V5 {
        prop_oneof![11 => of_all_versions, 1 => auth()].boxed()
    } else {
        of_all_versions.boxed()
    }
}

fn text() -> BoxedStrategy<String> {
    prop_oneof![4 => "[a-z/$]{0,40}", 1 => "[\\u{1}-\\u{D7FF}\\u{E000}-\\u{10FFFF}&&[^+#]]{0,20}"].boxed()
}

fn nonempty_text() -> BoxedStrategy<String> {
    text().prop_map(|text| text + "x").boxed()
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    vec(any::<u8>(), 0..300).boxed()
}

fn qos() -> BoxedStrategy<QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).boxed()
}

/// `strategy` in version 5, nothing before.
fn v5<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if version == Version::V5 { option::of(strategy).boxed() } else { Just(None).boxed() }
}

fn v5_pairs(version: Version) -> BoxedStrategy<Pairs> {
    v5(version, vec((text(), text()), 0..4)).prop_map(Option::unwrap_or_default).boxed()
}

fn v5_reason(version: Version, codes: &[ReasonCode]) -> BoxedStrategy<ReasonCode> {
    v5(version, select(codes.to_vec())).prop_map(|code| code.unwrap_or(ReasonCode::Success)).boxed()
}

fn message(version: Version) -> BoxedStrategy<Message> {
    (
        v5(version, 0..2_u8),
        v5(version, any::<u32>()),
        v5(version, text()),
        v5(version, text()),
        v5(version, bytes()),
        v5_pairs(version),
    )
        .prop_map(|(payload_format, expiry, content_type, response_topic, correlation_data, pairs)| Message {
            payload_format,
            expiry,
            content_type,
            response_topic,
            correlation_data,
            pairs,
        })
        .boxed()
}

fn connect(version: Version) -> BoxedStrategy<OwnedPacket> {
    let will = (qos(), any::<bool>(), nonempty_text(), bytes(), v5(version, any::<u32>()), message(version));
    let numbers = (
        v5(version, any::<u32>()),
        v5(version, 1..=u16::MAX),
        v5(version, 1..=u32::MAX),
        v5(version, any::<u16>()),
        v5(version, any::<bool>()),
        v5(version, any::<bool>()),
    );
    let credentials = (option::of(text()), option::of(bytes()));
    let rest = (any::<bool>(), any::<bool>(), any::<u16>(), text());
    let auth = v5(version, (text(), option::of(bytes())));
    (rest, option::of(will), credentials, numbers, v5_pairs(version), auth)
        .prop_map(move |(rest, will, (username, password), numbers, pairs, auth)| {
            let password = password.filter(|_| username.is_some() || version == Version::V5);
            OwnedPacket::Connect(Box::new(OwnedConnect {
                version,
                bridge: rest.0 && version != Version::V5,
                clean_start: rest.1,
                keep_alive: rest.2,
                client_id: rest.3,
                will,
                username,
                password,
                numbers,
                pairs,
                auth,
            }))
        })
        .boxed()
}

fn connack(version: Version) -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    let v3 = [
        R::Success,
        R::UnsupportedProtocolVersion,
        R::ClientIdentifierNotValid,
        R::ServerUnavailable,
        R::BadUserNameOrPassword,
        R::NotAuthorized,
    ];
    let also_v5 = [R::MalformedPacket, R::Banned, R::QuotaExceeded, R::UseAnotherServer, R::ConnectionRateExceeded];
    let codes = if version == Version::V5 { [&v3[..], &also_v5].concat() } else { v3.to_vec() };
    let numbers = (
        v5(version, any::<u32>()),
        v5(version, 1..=u16::MAX),
        v5(version, any::<bool>()),
        v5(version, 1..=u32::MAX),
        v5(version, any::<u16>()),
        v5(version, any::<u16>()),
    );
    let flag = || v5(version, any::<bool>());
    let flags = (flag(), flag(), flag(), flag());
    let texts = (v5(version, text()), v5(version, text()), v5(version, text()), v5(version, text()));
    let auth = v5(version, (text(), option::of(bytes())));
    (any::<bool>(), select(codes), numbers, flags, texts, v5_pairs(version), auth)
        .prop_map(move |(present, reason, numbers, flags, texts, pairs, auth)| {
            let present = present && reason == R::Success && version != Version::V31;
            OwnedPacket::ConnAck(present, reason, Box::new(OwnedConnAck { numbers, flags, texts, pairs, auth }))
        })
        .boxed()
}

fn publish(version: Version) -> BoxedStrategy<OwnedPacket> {
    let ids = vec(prop_oneof![1..200_u32, 1..=268_435_455_u32], 0..4);
    let payload = prop_oneof![8 => bytes(), 1 => vec(any::<u8>(), 16_000..17_000)];
    (
        (any::<bool>(), qos(), any::<bool>(), 1..=u16::MAX),
        text(),
        v5(version, 1..=u16::MAX),
        message(version),
        v5(version, ids),
        payload,
    )
        .prop_map(|((dup, qos, retain, packet_id), mut topic, alias, message, ids, payload)| {
            if topic.is_empty() && alias.is_none() {
                topic.push('t');
            }
            let with_id = qos != QoS::AtMostOnce;
            OwnedPacket::Publish(Box::new(OwnedPublish {
                dup: dup && with_id,
                qos,
                retain,
                topic,
                packet_id: if with_id { packet_id } else { 0 },
                alias,
                message,
                subscription_ids: ids.unwrap_or_default(),
                payload,
            }))
        })
        .boxed()
}

fn ack(version: Version) -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    (4..8_u8, 1..=u16::MAX, v5(version, text()), v5_pairs(version))
        .prop_flat_map(move |(kind, packet_id, text, pairs)| {
            let received = [R::NoMatchingSubscribers, R::UnspecifiedError, R::NotAuthorized, R::QuotaExceeded];
            let codes: &[R] = if kind < 6 { &received } else { &[R::PacketIdentifierNotFound] };
            v5_reason(version, codes)
                .prop_map(move |reason| OwnedPacket::Ack(kind, packet_id, reason, text.clone(), pairs.clone()))
        })
        .boxed()
}

fn options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (qos(), any::<bool>(), any::<bool>(), handling)
        .prop_map(move |(qos, no_local, retain_as_published, retain_handling)| {
            if version == Version::V5 {
                SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
            } else {
                SubscriptionOptions { qos, ..SubscriptionOptions::default() }
            }
        })
        .boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<OwnedPacket> {
    let filter = prop_oneof![text(), text().prop_map(|filter| format!("$share/g/{filter}"))];
    let filters = vec((filter, options(version)), 1..6).prop_map(|mut filters| {
        for (filter, options) in &mut filters {
            options.no_local &= !filter.starts_with("$share/");
        }
        filters
    });
    (1..=u16::MAX, v5(version, 1..=268_435_455_u32), v5_pairs(version), filters)
        .prop_map(|(packet_id, id, pairs, filters)| OwnedPacket::Subscribe(packet_id, id, pairs, filters))
        .boxed()
}

fn suback(version: Version) -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    let v3 = [R::Success, R::GrantedQoS1, R::GrantedQoS2, R::UnspecifiedError];
    let also_v5 = [R::NotAuthorized, R::TopicFilterInvalid, R::WildcardSubscriptionsNotSupported];
    let codes = if version == Version::V5 { [&v3[..], &also_v5].concat() } else { v3.to_vec() };
    (1..=u16::MAX, vec(select(codes), 1..6), v5(version, text()), v5_pairs(version))
        .prop_map(|(packet_id, reasons, text, pairs)| OwnedPacket::SubAck(packet_id, reasons, text, pairs))
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<OwnedPacket> {
    (1..=u16::MAX, v5_pairs(version), vec(text(), 1..6))
        .prop_map(|(packet_id, pairs, filters)| OwnedPacket::Unsubscribe(packet_id, pairs, filters))
        .boxed()
}

fn unsuback(version: Version) -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    let reasons = vec(select(vec![R::Success, R::NoSubscriptionExisted, R::NotAuthorized]), 1..6);
    (1..=u16::MAX, v5_list(version, reasons), v5(version, text()), v5_pairs(version))
        .prop_map(|(packet_id, reasons, text, pairs)| OwnedPacket::UnsubAck(packet_id, reasons, text, pairs))
        .boxed()
}

/// `strategy` in version 5, an empty list before.
fn v5_list<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = Vec<T>> + 'static,
) -> BoxedStrategy<Vec<T>> {
    if version == Version::V5 { strategy.boxed() } else { Just(Vec::new()).boxed() }
}

fn disconnect(version: Version) -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    let codes = [R::DisconnectWithWill, R::ProtocolError];
    let from_client = (v5_reason(version, &codes), v5(version, any::<u32>()), v5(version, text()), v5_pairs(version))
        .prop_map(|(reason, expiry, text, pairs)| OwnedPacket::Disconnect(reason, expiry, text, pairs, None));
    if version != Version::V5 {
        return from_client.boxed();
    }
    let codes = [R::ServerBusy, R::SessionTakenOver, R::ServerMoved];
    let from_server = (v5_reason(version, &codes), option::of(text()), v5_pairs(version), option::of(text()))
        .prop_map(|(reason, text, pairs, reference)| OwnedPacket::Disconnect(reason, None, text, pairs, reference));
    prop_oneof![from_client, from_server].boxed()
}

fn auth() -> BoxedStrategy<OwnedPacket> {
    use ReasonCode as R;
    let reason = select(vec![R::Success, R::ContinueAuthentication, R::ReAuthenticate]);
    (reason, text(), option::of(bytes()), option::of(text()), v5_pairs(Version::V5))
        .prop_map(|(reason, method, data, text, pairs)| OwnedPacket::Auth(reason, method, data, text, pairs))
        .boxed()
}
