package mongoproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"
)

const (
	// headerBytes is the header of every message.
	headerBytes = 16
	// largestMessage is what MongoDB accepts.
	largestMessage = 48_000_000
)

// What drivers greet a server with that they do not know yet, and its answer.
const (
	opReply wiremessage.OpCode = 1
	opQuery wiremessage.OpCode = 2004
)

var errMalformed = errors.New("message cannot be read")

// message is one message of the protocol: OP_MSG, or what drivers greet a
// server with that they do not know yet (OP_QUERY, answered by OP_REPLY).
type message struct {
	id     int32
	opcode wiremessage.OpCode
	raw    []byte
	// document is the command or its reply; sequences of documents that follow it
	// are merged into it.
	document bson.Raw
	// silent says that nobody waits for a reply.
	silent bool
}

func readMessage(r io.Reader) (message, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return message{}, fmt.Errorf("read size: %w", err)
	}
	length := binary.LittleEndian.Uint32(size[:])
	if length < headerBytes || length > largestMessage {
		return message{}, errMalformed
	}
	raw := make([]byte, length)
	copy(raw, size[:])
	if _, err := io.ReadFull(r, raw[len(size):]); err != nil {
		return message{}, fmt.Errorf("read message: %w", err)
	}
	_, id, _, opcode, rest, ok := wiremessage.ReadHeader(raw)
	if !ok {
		return message{}, errMalformed
	}
	m := message{id: id, opcode: opcode, raw: raw}
	var err error
	switch int32(opcode) {
	case int32(wiremessage.OpMsg):
		err = m.readMsg(rest)
	case int32(opQuery):
		err = m.readQuery(rest)
	case int32(opReply):
		err = m.readReply(rest)
	default:
		err = fmt.Errorf("%w: unexpected %s", errMalformed, opcode)
	}
	return m, err
}

func (m *message) readMsg(rest []byte) error {
	flags, rest, ok := wiremessage.ReadMsgFlags(rest)
	if !ok || flags&wiremessage.ChecksumPresent != 0 {
		return errMalformed
	}
	m.silent = flags&wiremessage.MoreToCome != 0
	var body bsoncore.Document
	var sequences []bsoncore.Element
	for len(rest) > 0 {
		var kind wiremessage.SectionType
		if kind, rest, ok = wiremessage.ReadMsgSectionType(rest); !ok {
			return errMalformed
		}
		switch kind {
		case wiremessage.SingleDocument:
			body, rest, ok = wiremessage.ReadMsgSectionSingleDocument(rest)
		case wiremessage.DocumentSequence:
			var name string
			var documents []bsoncore.Document
			name, documents, rest, ok = wiremessage.ReadMsgSectionDocumentSequence(rest)
			values := make([]bsoncore.Value, len(documents))
			for i, document := range documents {
				values[i] = bsoncore.Value{Type: bson.TypeEmbeddedDocument, Data: document}
			}
			sequences = append(sequences, bsoncore.AppendArrayElement(nil, name, bsoncore.BuildArray(nil, values...)))
		default:
			return errMalformed
		}
		if !ok {
			return errMalformed
		}
	}
	elements, err := body.Elements()
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	m.document = bson.Raw(bsoncore.BuildDocumentFromElements(nil, raw(append(elements, sequences...))...))
	return nil
}

func (m *message) readQuery(rest []byte) error {
	const flags, skipAndReturn = 4, 4 + 4
	if len(rest) < flags {
		return errMalformed
	}
	_, rest, found := bytes.Cut(rest[flags:], []byte{0}) // the collection's name
	if !found || len(rest) < skipAndReturn {
		return errMalformed
	}
	query, _, ok := bsoncore.ReadDocument(rest[skipAndReturn:])
	if !ok {
		return errMalformed
	}
	m.document = bson.Raw(query)
	return nil
}

func (m *message) readReply(rest []byte) error {
	const flagsCursorAndCounts = 4 + 8 + 4 + 4
	if len(rest) < flagsCursorAndCounts {
		return errMalformed
	}
	document, _, ok := wiremessage.ReadReplyDocument(rest[flagsCursorAndCounts:])
	if !ok {
		return errMalformed
	}
	m.document = bson.Raw(document)
	return nil
}

// encodeCommand is a command as OP_MSG with one section.
func encodeCommand(id int32, document bson.Raw) []byte {
	_, out := wiremessage.AppendHeaderStart(nil, id, 0, wiremessage.OpMsg)
	return finish(appendMsg(out, document))
}

// encodeReply answers a message in the way in which it was asked.
func encodeReply(to message, document bson.Raw) []byte {
	if to.opcode == wiremessage.OpMsg {
		_, out := wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), to.id, wiremessage.OpMsg)
		return finish(appendMsg(out, document))
	}
	_, out := wiremessage.AppendHeaderStart(nil, wiremessage.NextRequestID(), to.id, opReply)
	out = wiremessage.AppendReplyFlags(out, 0)
	out = wiremessage.AppendReplyCursorID(out, 0)
	out = wiremessage.AppendReplyStartingFrom(out, 0)
	out = wiremessage.AppendReplyNumberReturned(out, 1)
	return finish(append(out, document...))
}

func appendMsg(out []byte, document bson.Raw) []byte {
	out = wiremessage.AppendMsgFlags(out, 0)
	out = wiremessage.AppendMsgSectionType(out, wiremessage.SingleDocument)
	return append(out, document...)
}

// finish writes the size, which comes first.
func finish(out []byte) []byte {
	binary.LittleEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // bounded by what was read
	return out
}

func raw(elements []bsoncore.Element) [][]byte {
	out := make([][]byte, len(elements))
	for i, element := range elements {
		out[i] = element
	}
	return out
}
