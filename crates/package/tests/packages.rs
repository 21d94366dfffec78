//! Making, reading and unpacking packages.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use selvedge_package::unpack::unpack;
use selvedge_package::{Connection, Limits, Package, PackageBuilder, PackageError};

/// One entry of a hand-made archive: name, type byte, mode and content.
struct Raw<'a>(&'a str, u8, u32, &'a [u8]);

fn file<'a>(name: &'a str, content: &'a [u8]) -> Raw<'a> {
    Raw(name, b'0', 0o644, content)
}

/// An archive made without any of our own checks.
fn archive(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Raw(name, kind, mode, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[156] = *kind;
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const METADATA: Raw<'_> = Raw("metadata.json", b'0', 0o644, br#"{"type":"ccaas","label":"a"}"#);
const CODE: Raw<'_> = Raw("code.tar.gz", b'0', 0o644, b"code");

fn parse(bytes: Vec<u8>) -> Result<Package, PackageError> {
    Package::parse(bytes, &Limits::default())
}

fn sample() -> PackageBuilder {
    let connection = Connection { address: "cc:9999".into(), ..Connection::default() };
    PackageBuilder::new("basic_1.0")
        .and_then(|builder| builder.connection(&connection))
        .and_then(|builder| builder.file("META-INF/statedb/couchdb/indexes/i.json", "{}"))
        .and_then(|builder| builder.file("tls/ca.pem", "pem"))
        .unwrap()
}

#[test]
fn a_package_reads_back_and_unpacks() {
    let package = sample().build().unwrap();
    assert_eq!(package, parse(package.bytes().to_vec()).unwrap());
    assert!(package.metadata().is_ccaas());
    let indexes = package.indexes(&Limits::default()).unwrap();
    let indexes: Vec<_> = indexes.iter().map(|index| (index.path.as_str(), index.content.as_ref())).collect();
    assert_eq!(indexes, [("META-INF/statedb/couchdb/indexes/i.json", b"{}".as_slice())]);

    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("code");
    unpack(package.code(), &folder, &Limits::default()).unwrap();
    assert_eq!(fs::read(folder.join("tls/ca.pem")).unwrap(), b"pem");
    let mode = |path: &str| fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("tls"), mode("tls/ca.pem")), (0o700, 0o700, 0o600));
    assert!(matches!(unpack(package.code(), &folder, &Limits::default()), Err(PackageError::Io { .. })));
}

/// Package ids that organisations approved must not change when this crate or one below it does.
#[test]
fn the_bytes_of_a_package_stay_what_they_are() {
    let package = sample().build().unwrap();
    let bytes = package.bytes();
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    assert_eq!(
        package.id().to_string(),
        "basic_1.0:05ac9c1ff0df8f9ea94fd0c007ae75aee214c101910eadf35b8753961cd1ba6c"
    );
}

#[test]
fn headers_are_the_reproducible_ones() {
    let package = sample().build().unwrap();
    for gzipped in [package.bytes(), package.code()] {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(gzipped.as_ref()));
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(&header.as_bytes()[100..108], b"0100644\0");
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            assert_eq!(header.username_bytes(), Some(b"".as_slice()));
        }
    }
}

#[test]
fn a_folder_is_packed_as_its_files_are() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("statedb/couchdb")).unwrap();
    fs::write(root.path().join("statedb/couchdb/i.json"), "{}").unwrap();
    fs::write(root.path().join("note"), "n").unwrap();
    let from_folder = PackageBuilder::new("a").unwrap().folder("META-INF", root.path()).unwrap();
    let from_files = PackageBuilder::new("a")
        .and_then(|builder| builder.file("META-INF/note", "n"))
        .and_then(|builder| builder.file("META-INF/statedb/couchdb/i.json", "{}"))
        .unwrap();
    assert_eq!(from_folder.build().unwrap().bytes(), from_files.build().unwrap().bytes());
    std::os::unix::fs::symlink("note", root.path().join("link")).unwrap();
    assert!(matches!(
        PackageBuilder::new("a").unwrap().folder("x", root.path()),
        Err(PackageError::Path { .. })
    ));
}

#[test]
fn the_builder_takes_plain_paths_once() {
    for path in ["", "/a", "a//b", "../a", "a/./b", "a/", "a\nb", "x", "x/y", "d"] {
        let builder = PackageBuilder::new("a")
            .and_then(|builder| builder.file("x", ""))
            .and_then(|b| b.file("d/e", ""))
            .unwrap();
        assert!(matches!(builder.file(path, ""), Err(PackageError::Path { .. })), "{path:?}");
    }
    let long = PackageBuilder::new("a").and_then(|builder| builder.file(&"x".repeat(300), "")).unwrap();
    assert!(matches!(long.build(), Err(PackageError::Path { .. })));
    assert!(matches!(PackageBuilder::new("a:b"), Err(PackageError::Label(_))));
}

#[test]
fn hostile_packages_are_refused() {
    let link = Raw("metadata.json", b'2', 0o777, b"");
    assert_eq!(
        parse(archive(&[link, CODE])).unwrap_err().to_string(),
        "tar entry metadata.json is not a regular file, type 50"
    );
    assert!(matches!(
        parse(archive(&[METADATA, METADATA, CODE])),
        Err(PackageError::Duplicate("metadata.json"))
    ));
    assert!(matches!(parse(archive(&[METADATA, CODE, CODE])), Err(PackageError::Duplicate("code.tar.gz"))));
    let old_folder = Raw("d/", 0, 0o755, b"");
    assert!(matches!(parse(archive(&[old_folder])), Err(PackageError::NotRegular { type_flag: 53, .. })));
    let global = Raw("pax_global_header", b'g', 0o644, b"");
    assert!(matches!(parse(archive(&[global])), Err(PackageError::NotRegular { type_flag: 103, .. })));
    let sparse = Raw("x", b'x', 0o644, b"25 GNU.sparse.major=1\n\n\n\n\n");
    assert!(matches!(parse(archive(&[sparse, METADATA, CODE])), Err(PackageError::Tar(_))));
    let twice = Raw("x", b'x', 0o644, b"14 path=aaaaa\n14 path=bbbbb\n");
    assert!(matches!(parse(archive(&[twice, METADATA, CODE])), Err(PackageError::Tar(_))));
}

#[test]
fn names_of_hostile_packages_are_shown_escaped() {
    let package = parse(archive(&[METADATA, CODE, file("\u{1b}[2Jx", b"")])).unwrap();
    assert_eq!(package.unexpected_files(), ["\\u{1b}[2Jx"]);
    let error = parse(archive(&[Raw("\u{1b}x", b'5', 0o755, b"")])).unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn cut_packages_are_refused() {
    let whole = sample().build().unwrap();
    // Only the gzip trailer lies behind the archive's end mark, where Fabric does not look either.
    let end = whole.bytes().len() - 8;
    for cut in 0..end {
        let refused = Package::parse(whole.bytes().slice(..cut), &Limits::default());
        assert!(refused.is_err(), "accepted when cut after {cut} bytes");
    }
    Package::parse(whole.bytes().slice(..end), &Limits::default()).unwrap();
}

#[test]
fn only_zeros_may_follow_the_end_mark() {
    let mut tar = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(archive(&[METADATA, CODE]).as_slice()),
        &mut tar,
    )
    .unwrap();
    parse(gzip(&tar[..tar.len() - 512])).unwrap();
    parse(gzip(&tar[..tar.len() - 1024])).unwrap();
    let second_block = tar.len() - 1;
    tar[second_block] = 1;
    assert_eq!(
        parse(gzip(&tar)).unwrap_err().to_string(),
        "error inspecting next tar header: archive/tar: invalid tar header"
    );
}

#[test]
fn every_limit_is_kept() {
    let package = sample().build().unwrap();
    let least = Limits { package: 1, unpacked: 1, metadata: 1, code: 1, entries: 1, path: 1 };
    let base = Limits::default();
    let limited = [
        Limits { package: least.package, ..base },
        Limits { unpacked: least.unpacked, ..base },
        Limits { metadata: least.metadata, ..base },
        Limits { entries: least.entries, ..base },
        Limits { path: least.path, ..base },
    ];
    for limits in limited {
        let refused = Package::parse(package.bytes().clone(), &limits);
        assert!(matches!(refused, Err(PackageError::Limit { .. })), "{limits:?}: {refused:?}");
    }
    for limits in [Limits { code: least.code, ..base }, Limits { entries: least.entries, ..base }] {
        let root = tempfile::tempdir().unwrap();
        let refused = unpack(package.code(), &root.path().join("x"), &limits);
        assert!(matches!(refused, Err(PackageError::Limit { .. })), "{limits:?}: {refused:?}");
        assert!(matches!(package.indexes(&limits), Err(PackageError::Limit { .. })));
    }
}

#[test]
fn gzip_bombs_stop_at_the_limit() {
    let zeros = vec![0; 16 << 20];
    let limits = Limits { unpacked: 1 << 20, code: 1 << 20, ..Limits::default() };
    let limit_reached = |error| matches!(error, PackageError::Limit { limit, .. } if limit == 1 << 20);
    assert!(limit_reached(
        Package::parse(archive(&[METADATA, CODE, file("big", &zeros)]), &limits).unwrap_err()
    ));
    // A long-name entry is held in memory while it is read.
    let long_name = Raw("././@LongLink", b'L', 0o644, &zeros);
    assert!(limit_reached(Package::parse(archive(&[long_name, METADATA]), &limits).unwrap_err()));
    let root = tempfile::tempdir().unwrap();
    assert!(limit_reached(unpack(&archive(&[file("big", &zeros)]), root.path(), &limits).unwrap_err()));
}

#[test]
fn hostile_code_is_not_laid_out() {
    let folder = |name| Raw(name, b'5', 0o755, b"");
    type Case<'a> = (&'a [Raw<'a>], fn(&PackageError) -> bool);
    let refused: [Case<'_>; 10] = [
        (&[file("../x", b"")], |error| matches!(error, PackageError::EscapingPath(_))),
        (&[file("a/../../x", b"")], |error| matches!(error, PackageError::EscapingPath(_))),
        (&[file("/x", b"")], |error| matches!(error, PackageError::EscapingPath(_))),
        (&[folder("..")], |error| matches!(error, PackageError::EscapingPath(_))),
        (&[Raw("l", b'2', 0o777, b"")], |error| {
            matches!(error, PackageError::CodeType { type_flag: 50, .. })
        }),
        (&[Raw("l", b'1', 0o777, b"")], |error| {
            matches!(error, PackageError::CodeType { type_flag: 49, .. })
        }),
        (&[Raw("l", b'6', 0o777, b"")], |error| {
            matches!(error, PackageError::CodeType { type_flag: 54, .. })
        }),
        (&[file("x", b"1"), file("./x", b"2")], |error| matches!(error, PackageError::Path { .. })),
        (&[file("x", b"1"), file("x/y", b"2")], |error| matches!(error, PackageError::Path { .. })),
        (&[file("./", b"")], |error| matches!(error, PackageError::Path { .. })),
    ];
    for (entries, expected) in refused {
        let root = tempfile::tempdir().unwrap();
        let error = unpack(&archive(entries), &root.path().join("code"), &Limits::default()).unwrap_err();
        assert!(expected(&error), "{}: {error:?}", entries[0].0);
        let outside: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside, ["code"]);
        assert!(!error.fix().is_empty());
    }
}

#[test]
fn odd_but_harmless_code_is_laid_out() {
    let root = tempfile::tempdir().unwrap();
    let entries = [
        Raw("./", b'5', 0o755, b""),
        file("./connection.json", b"{}"),
        file("a/../b/..c", b"x"),
        Raw("run", b'0', 0o4755, b"#!"),
    ];
    unpack(&archive(&entries), root.path(), &Limits::default()).unwrap();
    assert_eq!(fs::read(root.path().join("b/..c")).unwrap(), b"x");
    assert_eq!(fs::metadata(root.path().join("run")).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn indexes_need_their_literal_folder() {
    let code = archive(&[
        file("META-INF/statedb/couchdb/indexes/a.json", b"a"),
        file("./META-INF/statedb/couchdb/indexes/b.json", b"b"),
        file("META-INF/statedb/../x", b"c"),
        file("META-INF/other", b"d"),
    ]);
    let package = parse(archive(&[METADATA, file("code.tar.gz", &code)])).unwrap();
    let paths: Vec<_> =
        package.indexes(&Limits::default()).unwrap().into_iter().map(|index| index.path).collect();
    assert_eq!(paths, ["META-INF/statedb/couchdb/indexes/a.json"]);
}

fn some_files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let content = prop::collection::vec(any::<u8>(), 0..70_000);
    // Every file has a name of its own in a folder of its own, so that no path is both a file and a folder.
    prop::collection::btree_map("f[0-9]{1,3}/[a-zé.]{0,8}x", content, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_input_does_not_matter(
        (files, shuffled) in some_files().prop_flat_map(|files| {
            let list: Vec<_> = files.clone().into_iter().collect();
            (Just(files), Just(list).prop_shuffle())
        })
    ) {
        let add = |builder: PackageBuilder, (path, content): (String, Vec<u8>)| builder.file(&path, content);
        let package = |list: Vec<(String, Vec<u8>)>| {
            list.into_iter().try_fold(PackageBuilder::new("a").unwrap(), add).unwrap().build().unwrap()
        };
        let sorted = package(files.clone().into_iter().collect());
        let other = package(shuffled);
        prop_assert_eq!(sorted.bytes(), other.bytes());

        let root = tempfile::tempdir().unwrap();
        unpack(sorted.code(), root.path(), &Limits::default()).unwrap();
        for (path, content) in files {
            prop_assert_eq!(fs::read(root.path().join(path)).unwrap(), content);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), zipped: bool) {
        read_all_of(if zipped { gzip(&bytes) } else { bytes });
    }

    #[test]
    fn mutated_packages_never_panic(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        inner: bool,
        cut in any::<prop::sample::Index>(),
    ) {
        // The package is stored, not compressed, so a mutation of its bytes reaches the tar headers; the checksums
        // of those are mended to let it pass to what lies behind.
        let package = sample().build().unwrap();
        let mut tar = Vec::new();
        let source = if inner { package.code() } else { package.bytes() };
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(source.as_ref()), &mut tar).unwrap();
        for (index, byte) in mutations {
            let at = index.index(tar.len());
            tar[at] = byte;
        }
        mend_checksums(&mut tar);
        tar.truncate(tar.len() - cut.index(tar.len()) / 8);
        let mutated = gzip(&tar);
        read_all_of(if inner { archive(&[METADATA, file("code.tar.gz", &mutated)]) } else { mutated });
    }
}

fn read_all_of(bytes: Vec<u8>) {
    let limits = Limits { unpacked: 1 << 20, code: 1 << 20, ..Limits::default() };
    if let Ok(package) = Package::parse(bytes, &limits) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("code");
        let _ = package.indexes(&limits);
        let _ = unpack(package.code(), &folder, &limits);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "something lies outside the folder");
    }
}

fn mend_checksums(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
