use isboot::login::text::{
    Hex, List, Pairs, TextWriter, boolean, decode_binary, list, number, yes_or_no,
};
use isboot::login::{
    ChapAlgorithm, ChapAlgorithms, Credentials, Login, LoginConfig, LoginError, Name, Secret,
    TargetAddress,
};
use isboot::pdu::response::LoginResponse;

use crate::{seen, told};

#[unsafe(no_mangle)]
pub fn login(
    login: &mut Login,
    config: &LoginConfig,
    entropy: Option<&[u8; 32]>,
    bytes: &[u8],
    response: &LoginResponse,
) {
    told(login.begin(config, entropy));
    seen(login.request());
    told(login.receive_text(bytes));
    told(login.on_response(config, response));
    *login = Login::new();
}

#[unsafe(no_mangle)]
pub fn login_text(value: &[u8], out: &mut [u8], writer: &mut TextWriter<'_>, words: &[&str]) {
    for pair in Pairs::new(value) {
        told(pair);
    }
    seen((boolean(value), number(value), yes_or_no(value.is_empty())));
    told(decode_binary(value, out));
    list(value).for_each(seen);
    told(writer.pair("Key", value.len()));
    told(writer.pair("Key", Hex(value)));
    told(writer.pair("Key", List(words)));
}

#[unsafe(no_mangle)]
pub fn login_parts(
    text: &str,
    bytes: &[u8],
    algorithms: &[ChapAlgorithm],
    config: &LoginConfig,
    credentials: &Credentials,
    error: &LoginError,
) {
    told(Name::new(text));
    told(text.parse::<Name>());
    told(text.parse::<ChapAlgorithms>());
    told(TargetAddress::parse(bytes).map(|address| address.socket_address()));
    told(Secret::new(bytes));
    told(ChapAlgorithms::new(algorithms));
    told(config.check());
    seen(bytes.try_into().map(LoginConfig::can_be_isid));
    seen(credentials.clone());
    seen(config.clone());
    seen(error.is_transient());
}
