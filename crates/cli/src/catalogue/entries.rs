//! The codes and their texts.

use super::{Code, Entry};

macro_rules! catalogue {
    ($($name:ident $code:literal $title:literal $text:literal;)*) => {
        $(pub(crate) const $name: Code = &Entry { code: $code, title: $title, text: $text };)*
        /// All codes, in the order of this file.
        pub(crate) const ALL: &[Code] = &[$($name),*];
    };
}

catalogue! {
    // Connections. One code for each verdict about a dialled server, or for a few that are mended alike.
    TLS_UNRESOLVED "SV-TLS-01" "the server's name cannot be resolved"
        "The host of the address has no entry in DNS or /etc/hosts on this machine. Peer names such as \
         peer0.org1.example.com are often known inside a container network only: dial localhost or the container's \
         address, and give the name with --server-name (CORE_PEER_TLS_SERVERHOSTOVERRIDE).";
    TLS_REFUSED "SV-TLS-02" "nothing listens at the address"
        "The machine answered that no process listens on the port. Start the server, correct the port, or let the \
         server listen on an interface that is reached from here: 127.0.0.1 inside a container is not.";
    TLS_UNREACHABLE "SV-TLS-03" "the address cannot be reached"
        "There is no route from here to the address. Check the address, the network and the firewall.";
    TLS_CONNECT_TIMEOUT "SV-TLS-04" "no answer to the attempt to connect"
        "Packets to the address vanish, as a firewall or a stopped host makes them. Check address and firewall.";
    TLS_NO_ANSWER "SV-TLS-05" "the server accepts the connection and then says nothing"
        "Something listens on the port but does not answer as a gRPC server: the process hangs, or another service \
         has the port. Look at what listens there, and at its log.";
    TLS_CLOSED "SV-TLS-06" "the server closed the connection without a word"
        "The server ended the connection before gRPC began: it speaks no TLS there, it is full, or it is shutting \
         down. Its log knows which.";
    TLS_SERVER_IS_PLAINTEXT "SV-TLS-07" "TLS was dialled, but the server speaks plaintext"
        "The server was started without TLS. Switch TLS on in the server: for chaincode give its certificate and key \
         and leave CHAINCODE_TLS_DISABLED unset; for a peer set CORE_PEER_TLS_ENABLED=true.";
    TLS_SERVER_IS_TLS "SV-TLS-08" "plaintext was dialled, but the server speaks TLS"
        "TLS is switched off on this side only. Give the server's authority (--tls-root) instead of \
         --tls-enabled=false; in connection.json set tls_required to true and put the authority into root_cert.";
    TLS_NO_HTTP2 "SV-TLS-09" "the server does not agree on HTTP/2"
        "Fabric speaks gRPC, which needs HTTP/2; with TLS it is agreed on by ALPN h2. Another service listens on the \
         port, or a proxy in between ends the TLS connection. Let the proxy pass TLS through.";
    TLS_UNKNOWN_ISSUER "SV-TLS-10" "the server's certificate is from an authority that is not trusted"
        "The certificate that was shown was issued by another authority than the ones given, or by one of the same \
         name that was made anew. Give the PEM certificate of the authority that issued it: for a peer, tlsca of its \
         organisation (--tls-root, CORE_PEER_TLS_ROOTCERT_FILE); for chaincode, root_cert in connection.json.";
    TLS_NAME_MISMATCH "SV-TLS-11" "the server's certificate does not name the host that was dialled"
        "The host of the address must be among the certificate's subject alternative names. Dial a name that is, \
         give one with --server-name (CORE_PEER_TLS_SERVERHOSTOVERRIDE), or issue a certificate that has the host: \
         selvedge tls issue --address HOST:PORT.";
    TLS_NO_ALTERNATIVE_NAME "SV-TLS-12" "the server's certificate has no subject alternative name"
        "Go's TLS, and so every Fabric peer, ignores the common name (CN). The usual openssl recipe writes nothing \
         else. Issue a certificate with the host among its names: selvedge tls issue --address HOST:PORT.";
    TLS_OUTSIDE_VALIDITY "SV-TLS-13" "a certificate is expired, or not valid yet"
        "The server's certificate or its authority's is outside its dates, or one of the two clocks is wrong. Renew \
         the certificate under the same authority: then nothing else has to change.";
    TLS_WRONG_USAGE "SV-TLS-14" "the certificate is not for this use"
        "An extended key usage restricts the certificate to other ends of TLS: a server needs serverAuth, a client \
         clientAuth. An authority's own certificate cannot stand for a server unless it is trusted itself. Issue one \
         with selvedge tls issue --usage server, client or both.";
    TLS_CLIENT_CERTIFICATE_REQUIRED "SV-TLS-15" "the server demands a client certificate"
        "The server uses mutual TLS. Give a certificate and key of an authority that it accepts: --tls-cert and \
         --tls-key (CORE_PEER_TLS_CLIENTCERT_FILE, CORE_PEER_TLS_CLIENTKEY_FILE); in connection.json \
         client_auth_required, client_cert and client_key.";
    TLS_CLIENT_CERTIFICATE_REFUSED "SV-TLS-16" "the server refused the client certificate"
        "The certificate's authority, dates or usage is not what the server accepts. Give the server the authority's \
         certificate as a client authority, or use a certificate that is valid now and for clientAuth.";
    TLS_NOTHING_IN_COMMON "SV-TLS-17" "no common TLS version or algorithm"
        "One side is too old, or restricted to other algorithms. TLS 1.2 and 1.3 with ECDHE and AES-GCM are what \
         Fabric and Selvedge have in common.";
    TLS_OTHER "SV-TLS-18" "the connection failed in another way"
        "The server or something between it and this machine misbehaves. The evidence has the words of the system or \
         of the TLS library; the server's log has the other half.";
    TLS_FILES "SV-TLS-19" "a certificate, key or authority cannot be used"
        "A file does not hold what it should: PEM blocks of the right kind, a key that belongs to its certificate, \
         at least one authority. A DER file is converted with openssl x509 -inform der.";

    // Settings of a command.
    NOT_TOLD "SV-SET-01" "a setting is missing"
        "The command was not told something that it cannot guess. Give the flag that the error names, set the \
         environment variable of Fabric's peer command (CORE_PEER_ADDRESS, CORE_PEER_LOCALMSPID, \
         CORE_PEER_MSPCONFIGPATH, CORE_PEER_TLS_ROOTCERT_FILE), or give --config with a network's description.";
    CONFIG_FILE "SV-SET-02" "the network's description cannot be used"
        "The file given with --config is not the JSON document that describes a network: organizations with msp_id, \
         peers (name, address, tls_root) and users (name, certificate, key, role), and channels.";
    UNKNOWN_NAME "SV-SET-03" "the network's description has no such peer, user or channel"
        "The name is not in the file given with --config. The error lists those that are.";
    ADDRESS "SV-SET-04" "an address cannot be understood"
        "An address is host:port, with an IPv6 host in brackets. It has no scheme: neither grpc:// nor https://.";
    FILE "SV-SET-05" "a file cannot be read or written"
        "The path does not exist, its permissions forbid it, or the disk is full. The evidence has the system's words.";
    FILE_EXISTS "SV-SET-06" "a file is there already"
        "Nothing is overwritten unasked, since a private key that is gone is gone for good. Choose another place, or \
         give --force.";
    ARGUMENT "SV-SET-07" "an argument cannot be understood"
        "The value has another form than the command takes. The error says which; --help shows an example of each.";
    UNKNOWN_CODE "SV-SET-08" "there is no such code"
        "Codes look like SV-TLS-07. selvedge explain without a code lists them all.";
    CERTIFICATE_MAKING "SV-SET-09" "a certificate cannot be made"
        "The authority's certificate and key cannot be used, or a name cannot stand in a certificate. Names are DNS \
         names or IP addresses, without a port.";
    OUTPUT "SV-SET-10" "standard output cannot be written to"
        "Whoever read the output has stopped reading, or the disk behind it is full. What the command did before that \
         stays done.";

    LISTEN "SV-SET-11" "a server cannot listen at its address"
        "Another process listens on the port, the address is none of this machine's, or the port is below 1024 and the \
         user is not allowed to open it. Stop the other process, or choose another address; port 0 takes a free one.";
    USAGE "SV-SET-12" "the command line cannot be understood"
        "A word, a flag or a value is not one that the command takes, or one that it needs is missing. The error names \
         it, with what comes closest; --help after the command tells everything that it takes.";

    CHECKPOINT "SV-SET-13" "the file of a checkpoint cannot be used"
        "selvedge events --checkpoint keeps in its file which event of which chaincode it has told last. The file is \
         another one, or another chaincode's. Give each chaincode and channel a file of its own.";

    // Identities.
    IDENTITY "SV-ID-01" "the identity cannot be used to sign"
        "An identity is an MSP folder with one certificate in signcerts and its private key in keystore, on curve \
         P-256. Point --msp-dir (CORE_PEER_MSPCONFIGPATH) to such a folder, for example \
         …/users/Admin@org1.example.com/msp.";

    // Packages.
    PACKAGE_ARCHIVE "SV-PKG-01" "the file is no chaincode package"
        "A chaincode package is a gzip'd tar archive of metadata.json and code.tar.gz at its top. The file is another \
         one, damaged or cut short. Build it with selvedge package build.";
    PACKAGE_CONTENT "SV-PKG-02" "the package lacks a part, has one twice, or holds something else than files"
        "metadata.json and code.tar.gz stand at the top of the archive, once each, as regular files. Pack the two by \
         name (tar cfz p.tgz metadata.json code.tar.gz), not the folder that holds them.";
    PACKAGE_METADATA "SV-PKG-03" "metadata.json cannot be read"
        "metadata.json is a JSON object such as {\"type\":\"ccaas\",\"label\":\"basic_1.0\"}.";
    PACKAGE_LABEL "SV-PKG-04" "the label is not allowed"
        "A label begins with a letter or digit and has letters, digits and . + - _ only, such as basic_1.0.";
    PACKAGE_ID "SV-PKG-05" "the text is no package id"
        "A package id is the label, a colon and 64 lower-case hexadecimal digits, exactly as the installation printed \
         it. selvedge package id FILE computes it from the package.";
    PACKAGE_CODE "SV-PKG-06" "the code within the package has a path or type that is not allowed"
        "Paths in code.tar.gz are relative, stay inside the folder and occur once; only folders and regular files are \
         allowed. Pack it from inside its folder, with links replaced by what they point to (tar --dereference).";
    PACKAGE_LIMIT "SV-PKG-07" "the package is too large"
        "A peer takes messages of at most 100 MiB, so a package is smaller than that. Leave out what the chaincode \
         does not need: an external chaincode's package is a connection.json of a few hundred bytes.";
    PACKAGE_CONNECTION "SV-PKG-08" "connection.json would not work"
        "Fabric's types are strict: tls_required and client_auth_required are true or false without quotes, \
         dial_timeout is a text such as \"10s\", certificates and keys are PEM text with \\n between the lines. With \
         TLS root_cert is needed, with client authentication client_cert and client_key as well.";

    // What gateways and peers answer.
    SERVICE_UNAVAILABLE "SV-GW-01" "a peer or orderer cannot be reached at the moment"
        "The gateway is there, but a peer or orderer that it needs is not, or the connection was lost. The evidence \
         names who. Nothing is known to be ordered: look for the transaction's id before sending it again.";
    SERVICE_TIMEOUT "SV-GW-02" "the answer took too long"
        "The chaincode, a peer or the orderer did not answer in time. With external chaincode, look whether its \
         server runs and was started with the package id that is installed: a wrong id used to end like this. A \
         transaction that was submitted may still be committed.";
    SERVICE_DENIED "SV-GW-03" "the peer does not let this identity do it"
        "The peer does not know the identity's MSP on this channel, the certificate is expired or revoked, or its \
         role is too low: installing, approving and committing chaincode take an administrator of the peer's own \
         organisation. Check --msp-id and --msp-dir against the peer.";
    SERVICE_ABORTED "SV-GW-04" "the endorsement failed"
        "The chaincode answered with an error or the endorsers disagreed. The evidence has what each peer said. \
         Different results from several peers mean that the chaincode is not deterministic: time, randomness and the \
         order of a map must not reach the ledger.";
    SERVICE_PRECONDITION "SV-GW-05" "the peers that the policy asks for are not there"
        "No combination of the reachable peers satisfies the endorsement policy: the chaincode is not committed on \
         the channel, not installed on enough of them, or organisations are missing. See selvedge chaincode \
         query-committed and query-installed.";
    SERVICE_NOT_FOUND "SV-GW-06" "the peer does not know the channel, transaction or chaincode"
        "The name is misspelt, or the peer has not joined the channel. See selvedge chaincode query-committed.";
    SERVICE_ARGUMENT "SV-GW-07" "the peer does not accept the request"
        "A part of the request is missing or has a form that the peer refuses, such as a channel of no name. The \
         evidence has the peer's words.";
    SERVICE_CHAINCODE "SV-GW-08" "the chaincode answered with an error"
        "The transaction ran, and the chaincode refused it: the evidence has its words. Nothing was recorded. When \
         the words are about a connection or a launch, the chaincode's server cannot be reached by the peer.";
    SERVICE_LIMIT "SV-GW-09" "the peer is busy, or the message too large"
        "A peer limits how many calls it serves at once and takes messages of at most 100 MiB. Wait and try again, or \
         send less.";
    SERVICE_UNIMPLEMENTED "SV-GW-10" "the server has no such service"
        "The address is not that of a peer with a gateway, which Fabric has from 2.4 on; perhaps it is an orderer's \
         or a chaincode's.";
    SERVICE_OTHER "SV-GW-11" "the peer answered with another error"
        "The evidence has the gRPC code and the peer's words; the peer's log may say more.";
    SERVICE_ANSWER "SV-GW-12" "the answer of the peer cannot be used"
        "What came back is not what this call is answered with. The other end is no Fabric peer, or a much newer one.";

    // Transactions that are in a block without being valid.
    INVALID_CONFLICT "SV-TX-01" "another transaction changed the same data first"
        "Between endorsement and commit another transaction wrote a key or a range that this one had read (MVCC or \
         phantom read conflict). Nothing of this one was recorded: send it again. Chaincode that writes one key in \
         every transaction meets this all the time; let it write keys of its own.";
    INVALID_POLICY "SV-TX-02" "the endorsements do not satisfy the policy"
        "The transaction is in a block, but the organisations that endorsed it are too few for the chaincode's or a \
         key's endorsement policy. Name the ones that must endorse with --org.";
    INVALID_OTHER "SV-TX-03" "the transaction is in a block without being valid"
        "The committing peers refused it for the reason that the evidence names. Nothing of it was recorded.";

    // The lifecycle.
    INSTALL_REFUSED "SV-CC-01" "the peer refused the request"
        "The peer's words are the evidence. An installation fails when the package is damaged or when none of the \
         peer's builders takes it; external chaincode needs the ccaas builder, which Fabric has from 2.4.1 on.";
    INSTALL_TWICE "SV-CC-02" "the package is installed already"
        "The peer has this very package, to the byte. There is nothing to be done: go on with selvedge chaincode \
         approve and the package's id.";
    POLICY_TEXT "SV-CC-03" "the endorsement policy cannot be understood"
        "A policy combines principals with AND, OR and OutOf: OR('Org1MSP.peer', AND('Org2MSP.member', \
         'Org3MSP.admin')). A principal is an MSP's name, a dot and member, admin, client, peer or orderer.";
    COLLECTIONS_FILE "SV-CC-04" "the collections file cannot be understood"
        "It is a JSON list as Fabric's peer takes it: [{\"name\", \"policy\", \"requiredPeerCount\", \"maxPeerCount\", \
         \"blockToLive\", \"memberOnlyRead\", \"memberOnlyWrite\", \"endorsementPolicy\"}].";

    // Networks of selvedge up.
    NETWORK_HELD "SV-NET-01" "another process runs the network of this folder"
        "A folder's network is run by one process at a time, which the error names. Use that one, stop it with selvedge \
         down, or give another folder with --dir. A process that was killed holds nothing.";
    NETWORK_PORT "SV-NET-02" "a port of the network is taken"
        "The orderer listens on the port of --port (7050 unless told otherwise) and the peers on those above it, \
         organisations 2000 apart. Perhaps another network runs already. --port 0 takes whatever is free.";
    NETWORK_OTHER "SV-NET-03" "the folder's network has other organisations"
        "The first block of a channel names its organisations for good. Give the --orgs with which the folder was made, \
         or another --dir.";
    NETWORK_FOLDER "SV-NET-04" "the folder holds something else than a network"
        "Nothing is written into a folder with files of another kind. Give one that is empty or does not exist, or one \
         that selvedge up has made.";
    NETWORK_FILES "SV-NET-05" "what the network's folder holds cannot be used"
        "Certificates, keys, first blocks, ledgers and installed packages in the folder belong together. One of them is \
         damaged, was changed by hand, or comes from another network. The evidence says which.";
    NETWORK_NOT_READY "SV-NET-06" "the process that runs the network does not answer"
        "It starts, or it ends, at this very moment; or it hangs. selvedge status tells who it is.";
    NETWORK_STUCK "SV-NET-07" "the process that runs the network cannot be stopped"
        "It belongs to another user, or it hangs. A process that is killed loses nothing that was committed.";
    NETWORK_INNER "SV-NET-08" "the network failed"
        "A part of the network in this process did not do what another one expected. Please report it, with what \
         RUST_LOG=debug shows.";

    NETWORK_SAMPLE "SV-NET-09" "the sample cannot run on the network"
        "selvedge up --sample starts the sample in a process of its own and deploys it as basic. The process ended or does \
         not answer, or the first channel has another chaincode of that name already. The evidence says which.";

    // The machine.
    MACHINE "SV-SYS-01" "the system refused something that the command needs"
        "Threads, signals, random numbers or a temporary folder were not to be had. The evidence has the system's \
         words.";
    STOPPED "SV-SYS-02" "the command was stopped before it was done"
        "A signal asked for it, as Ctrl-C and selvedge down send it. What was committed until then stays committed.";
}
