//! U: strings.

use sluice_tests_conformance::{
    Server, Version, bytes, connect, fresh, id, publish, subscribe, unsubscribe, user, will,
};

const ILL_FORMED: [&[u8]; 6] = [b"\xC0\x80", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\x80", b"a\xE2\x82", b"\0"];

#[test]
fn u1_ill_formed_strings_after_connect_are_malformed() {
    let _others = Server::shared().bystander();
    for text in ILL_FORMED {
        for version in Version::ALL {
            let mut client = Server::shared().connected(version);
            client.send(publish(text, "x")).expect_thrown_out(&[0x81]);
            let mut client = Server::shared().connected(version);
            client.send(subscribe(1).filter(text, 0)).expect_thrown_out(&[0x81]);
            let mut client = Server::shared().connected(version);
            client.send(unsubscribe(1).topic(text)).expect_thrown_out(&[0x81]);
        }
        for property in
            [user(text, "v"), user("k", text), bytes(id::CONTENT_TYPE, text), bytes(id::RESPONSE_TOPIC, text)]
        {
            let mut client = Server::shared().connected(Version::V5);
            client.send(publish(fresh("t/"), "x").with(property)).expect_thrown_out(&[0x81]);
        }
    }
}

#[test]
fn u1_ill_formed_strings_in_connect_are_refused() {
    let _others = Server::shared().bystander();
    for text in ILL_FORMED {
        for version in Version::ALL {
            let wrong = [
                connect([b"c", text].concat()).version(version),
                connect(fresh("c")).version(version).username(text),
                connect(fresh("c")).version(version).will(will(text, "x")),
            ];
            for wrong in wrong {
                let mut client = Server::shared().open();
                client.send(wrong).expect_refused_or_closed(&[0x81, 0x85, 0x86, 2, 4]);
            }
        }
        for wrong in
            [connect(fresh("c")).with(user("k", text)), connect(fresh("c")).will(will("t", "x").with(user(text, "v")))]
        {
            let mut client = Server::shared().open();
            client.send(wrong).expect_refused_or_closed(&[0x81]);
        }
    }
}

#[test]
fn u2_unusual_characters_pass_byte_by_byte() {
    for version in Version::ALL {
        for text in ["\u{FEFF}", "\u{FFFF}", "\u{1}", "\u{7F}", "\u{10FFFF}", "\u{FDD0}"] {
            let topic = format!("{}/{text}", fresh("u"));
            let mut client = Server::shared().connected(version);
            client.subscribe(&topic, 0).publish(&topic, text, 0).expect_message(&topic, text);
        }
    }
}

#[test]
fn u3_forms_of_the_same_letter_are_different_topics() {
    let prefix = fresh("u");
    let (composed, decomposed) = (format!("{prefix}/\u{E9}"), format!("{prefix}/e\u{301}"));
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.subscribe(&composed, 0).publish(&decomposed, "no", 0).publish(&composed, "yes", 0);
        client.expect_message(&composed, "yes");
        client.expect_nothing();
    }
}
