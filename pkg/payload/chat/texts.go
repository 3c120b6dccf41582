package chat

import (
	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
)

// texts are the texts of one language.
type texts struct {
	started, transcribed, summarized, report string
	failing, disabled, recovered             string
	test, testNote                           string

	participant, duration, tags, transcript string
	webhook, receiver                       string
	open                                    string

	hour, minute, second, thousands string
}

// what says what happened.
func (t texts) what(eventType string) string {
	switch eventType {
	case event.ConversationStarted:
		return t.started
	case event.ConversationTranscribed:
		return t.transcribed
	case event.ConversationSummarized:
		return t.summarized
	case event.ReportGenerated:
		return t.report
	case event.WebhookFailing:
		return t.failing
	case event.WebhookDisabled:
		return t.disabled
	case event.WebhookRecovered:
		return t.recovered
	default:
		return t.test
	}
}

// textsFor finds the texts for a project's language, as its dashboard does.
func textsFor(language string) texts { return languages()[payload.Locale(language)] }

// languages are the texts by the dashboard's locales.
func languages() map[string]texts {
	return map[string]texts{
		"en-US": {
			started: "Conversation started", transcribed: "Conversation transcribed",
			summarized: "Conversation summarized", report: "Report ready",
			failing: "Webhook failing", disabled: "Webhook disabled", recovered: "Webhook working again",
			test:        "Test message",
			testNote:    "This is a test of the webhook. The conversation below does not exist.",
			participant: "Participant", duration: "Duration", tags: "Tags", transcript: "Transcript, characters",
			webhook: "Webhook", receiver: "Receiver", open: "Open in the dashboard",
			hour: "h", minute: "min", second: "s", thousands: ",",
		},
		"nl-NL": {
			started: "Gesprek begonnen", transcribed: "Gesprek uitgeschreven",
			summarized: "Gesprek samengevat", report: "Rapport klaar",
			failing: "Webhook faalt", disabled: "Webhook uitgeschakeld", recovered: "Webhook werkt weer",
			test:        "Testbericht",
			testNote:    "Dit is een test van de webhook. Het gesprek hieronder bestaat niet.",
			participant: "Deelnemer", duration: "Duur", tags: "Labels", transcript: "Transcript, tekens",
			webhook: "Webhook", receiver: "Ontvanger", open: "Openen in het dashboard",
			hour: "u", minute: "min", second: "s", thousands: ".",
		},
		"de-DE": {
			started: "Gespräch begonnen", transcribed: "Gespräch transkribiert",
			summarized: "Gespräch zusammengefasst", report: "Bericht fertig",
			failing: "Webhook schlägt fehl", disabled: "Webhook deaktiviert", recovered: "Webhook funktioniert wieder",
			test:        "Testnachricht",
			testNote:    "Dies ist ein Test des Webhooks. Das Gespräch darunter gibt es nicht.",
			participant: "Teilnehmer:in", duration: "Dauer", tags: "Schlagwörter", transcript: "Transkript, Zeichen",
			webhook: "Webhook", receiver: "Empfänger", open: "Im Dashboard öffnen",
			hour: "Std.", minute: "Min.", second: "Sek.", thousands: ".",
		},
		"fr-FR": {
			started: "Conversation commencée", transcribed: "Conversation transcrite",
			summarized: "Conversation résumée", report: "Rapport prêt",
			failing: "Webhook en échec", disabled: "Webhook désactivé", recovered: "Webhook rétabli",
			test:        "Message de test",
			testNote:    "Ceci est un test du webhook. La conversation ci-dessous n’existe pas.",
			participant: "Participant", duration: "Durée", tags: "Étiquettes", transcript: "Transcription, caractères",
			webhook: "Webhook", receiver: "Destinataire", open: "Ouvrir dans le tableau de bord",
			hour: "h", minute: "min", second: "s", thousands: "\u202f",
		},
		"es-ES": {
			started: "Conversación iniciada", transcribed: "Conversación transcrita",
			summarized: "Conversación resumida", report: "Informe listo",
			failing: "El webhook falla", disabled: "Webhook desactivado", recovered: "El webhook vuelve a funcionar",
			test:        "Mensaje de prueba",
			testNote:    "Esto es una prueba del webhook. La conversación de abajo no existe.",
			participant: "Participante", duration: "Duración", tags: "Etiquetas", transcript: "Transcripción, caracteres",
			webhook: "Webhook", receiver: "Receptor", open: "Abrir en el panel",
			hour: "h", minute: "min", second: "s", thousands: ".",
		},
		"it-IT": {
			started: "Conversazione iniziata", transcribed: "Conversazione trascritta",
			summarized: "Conversazione riassunta", report: "Rapporto pronto",
			failing: "Il webhook non funziona", disabled: "Webhook disattivato", recovered: "Il webhook funziona di nuovo",
			test:        "Messaggio di prova",
			testNote:    "Questa è una prova del webhook. La conversazione qui sotto non esiste.",
			participant: "Partecipante", duration: "Durata", tags: "Etichette", transcript: "Trascrizione, caratteri",
			webhook: "Webhook", receiver: "Destinatario", open: "Apri nella dashboard",
			hour: "h", minute: "min", second: "s", thousands: ".",
		},
		"uk-UA": {
			started: "Розмову розпочато", transcribed: "Розмову розшифровано",
			summarized: "Підсумок розмови готовий", report: "Звіт готовий",
			failing: "Вебхук не працює", disabled: "Вебхук вимкнено", recovered: "Вебхук знову працює",
			test:        "Тестове повідомлення",
			testNote:    "Це перевірка вебхука. Розмови нижче не існує.",
			participant: "Учасник", duration: "Тривалість", tags: "Теги", transcript: "Розшифровка, символів",
			webhook: "Вебхук", receiver: "Отримувач", open: "Відкрити в панелі",
			hour: "год", minute: "хв", second: "с", thousands: "\u00a0",
		},
		"cs-CZ": {
			started: "Rozhovor zahájen", transcribed: "Rozhovor přepsán",
			summarized: "Rozhovor shrnut", report: "Zpráva připravena",
			failing: "Webhook selhává", disabled: "Webhook vypnut", recovered: "Webhook opět funguje",
			test:        "Testovací zpráva",
			testNote:    "Toto je test webhooku. Rozhovor níže neexistuje.",
			participant: "Účastník", duration: "Délka", tags: "Štítky", transcript: "Přepis, znaků",
			webhook: "Webhook", receiver: "Příjemce", open: "Otevřít v přehledu",
			hour: "h", minute: "min", second: "s", thousands: "\u00a0",
		},
	}
}
