"""What the server counts."""

from __future__ import annotations

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
HELP: dict[str, tuple[str, str]] = {
    "easyrec_rag_requests_total": ("counter", "Requests that were answered, by path and status."),
    "easyrec_rag_refused_total": ("counter", "Requests that were answered with an error, by its code."),
    "easyrec_rag_seconds": ("histogram", "Time from a request to the end of its answer, by path."),
    "easyrec_rag_first_word_seconds": ("histogram", "Time from a question to the first word of its answer."),
    "easyrec_rag_tokens_total": ("counter", "Tokens of the language model, by knowledge base and direction."),
    "easyrec_rag_answers_total": ("counter", "Answers, by knowledge base, and whether the documents say it."),
    "easyrec_rag_tasks_total": ("counter", "Files that were taken in, by what became of them."),
    "easyrec_rag_tasks": ("gauge", "Files that are held, wait, or are being taken in."),
    "easyrec_rag_chunks_total": ("counter", "Chunks of files that were taken in."),
    "easyrec_rag_upload_bytes_total": ("counter", "Bytes of files that came."),
    "easyrec_rag_waiting": ("gauge", "Requests that wait for a thread, by lane."),
    "easyrec_rag_running": ("gauge", "Requests that are being worked on, by lane."),
    "easyrec_rag_bases_open": ("gauge", "Knowledge bases that are held open."),
}
BOUNDS = {"easyrec_rag_seconds": SECONDS, "easyrec_rag_first_word_seconds": SECONDS}
