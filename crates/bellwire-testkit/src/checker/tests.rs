//! Each fault that the checker counts, shown by the smallest diary that has it.

use super::{Account, Diary, GapWord, Published, channel_mark, judge};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

const CHANNEL: &str = "news";
const HISTORY: u64 = 3;

/// The id of an offset below 128 in an epoch.
fn id_in(epoch: u8, offset: u8) -> String {
    let raw = [&channel_mark(CHANNEL)[..], &[epoch; 4], &[offset]].concat();
    format!("1{}", URL_SAFE_NO_PAD.encode(raw))
}

fn id(number: u8) -> String {
    id_in(1, number * 2)
}

/// Ten publications at every second offset, told to a client that started at the first.
fn account(tell: impl FnOnce(&mut Diary)) -> Account {
    let mut published = Published::default();
    (1..=10).for_each(|number| published.acknowledged(CHANNEL, &id(number)));
    let mut diary = Diary::new(&[CHANNEL.to_owned()]);
    diary.cursor(&id(0), |_| 0);
    tell(&mut diary);
    judge(&diary, &published, HISTORY)
}

fn hear(diary: &mut Diary, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        diary.message(CHANNEL, &id(number), number.into());
    }
}

fn gap(reason: &str, last: Option<String>, cursor: String) -> GapWord {
    GapWord {
        channel: CHANNEL.to_owned(),
        reason: reason.to_owned(),
        last,
        cursor,
    }
}

#[test]
fn everything_in_order_is_clean() {
    let account = account(|diary| hear(diary, 1..=10));
    assert!(account.is_clean(), "{account}");
    assert_eq!((account.received, account.lost), (10, 0));
}

#[test]
fn an_announced_loss_is_clean_where_history_was_outlived() {
    let tell = |sent| {
        move |diary: &mut Diary| {
            hear(diary, 1..=4);
            let gap = gap("retention", Some(id(4)), id(7));
            diary.gap(&gap, |_| sent);
            hear(diary, 8..=10);
        }
    };
    let clean = account(tell(10));
    assert!(clean.is_clean(), "{clean}");
    assert_eq!((clean.received, clean.lost), (7, 3));
    assert_eq!(account(tell(7)).false_gaps, 1);
}

#[test]
fn silent_loss_is_counted_in_the_middle_and_at_the_end() {
    let account = account(|diary| hear(diary, [1, 2, 5, 6, 7]));
    assert_eq!(account.unannounced, 2 + 3, "{account}");
    assert!(!account.is_clean());
}

#[test]
fn what_comes_again_and_what_comes_late_is_counted() {
    let again = account(|diary| hear(diary, [1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    assert_eq!((again.repeated, again.out_of_order), (1, 0), "{again}");
    let late = account(|diary| hear(diary, [1, 3, 2, 4, 5, 6, 7, 8, 9, 10]));
    assert_eq!((late.repeated, late.out_of_order), (0, 1), "{late}");
    assert!(!again.is_clean() && !late.is_clean());
}

#[test]
fn gaps_that_lose_nothing_begin_elsewhere_or_give_a_wrong_reason_are_false() {
    let check = |gap: GapWord| {
        let account = account(|diary| {
            hear(diary, 1..=4);
            diary.gap(&gap, |_| 10);
            hear(diary, 5..=10);
        });
        assert_eq!(account.false_gaps, 1, "{gap:?}: {account}");
    };
    check(gap("retention", Some(id(4)), id(4)));
    check(gap("retention", Some(id(3)), id(6)));
    check(gap("epoch_changed", None, id(6)));
    check(gap("position_unknown", None, id(6)));
    check(gap("limit", Some(id(4)), id(6)));
}

#[test]
fn a_new_epoch_has_to_be_announced() {
    let mut published = Published::default();
    (1..=5).for_each(|number| published.acknowledged(CHANNEL, &id(number)));
    (1..=5).for_each(|offset| published.acknowledged(CHANNEL, &id_in(2, offset)));
    let told = |announced: bool| {
        let mut diary = Diary::new(&[CHANNEL.to_owned()]);
        diary.cursor(&id(0), |_| 0);
        hear(&mut diary, 1..=3);
        if announced {
            let gap = gap("epoch_changed", None, id_in(2, 2));
            diary.gap(&gap, |_| 10);
        }
        (3..=5).for_each(|offset| diary.message(CHANNEL, &id_in(2, offset), (offset + 5).into()));
        judge(&diary, &published, HISTORY)
    };
    let (announced, silent) = (told(true), told(false));
    assert!(announced.is_clean(), "{announced}");
    assert_eq!((announced.received, announced.lost), (6, 4));
    assert_eq!(silent.unannounced, 4, "{silent}");
}

#[test]
fn an_id_of_another_position_is_malformed() {
    let account = account(|diary| {
        diary.message(CHANNEL, &id(2), 1);
        diary.message("other", &id(1), 1);
        diary.cursor("1nonsense", |_| 0);
    });
    assert_eq!(account.malformed, 3, "{account}");
}
